import type { Interceptor, Transport } from "@connectrpc/connect";

/** What a transport needs to know; the same for every platform. */
export interface TransportOptions {
  /** URL of the server, without a slash at its end. */
  url: string;
  interceptors: Interceptor[];
}

/** A way to the server that holds connections until it is closed. */
export interface ClosableTransport {
  transport: Transport;
  /** Ends every call in flight and closes the connections. */
  close(): void;
}
