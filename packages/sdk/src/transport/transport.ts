import type { Interceptor, Transport } from "@connectrpc/connect";

/** When a silent connection is asked whether it is alive, and how long it has to answer. */
export interface KeepAlive {
  pingIntervalMs: number;
  pingTimeoutMs: number;
}

/** What a transport needs to know; the same for every platform. */
export interface TransportOptions {
  /** URL of the server, without a slash at its end. */
  url: string;
  interceptors: Interceptor[];
  /** How a connection that says nothing is found to be dead, where the platform lets us look. */
  keepAlive?: KeepAlive;
}

/** A way to the server that holds connections until it is closed. */
export interface ClosableTransport {
  transport: Transport;
  /** Ends every call in flight and closes the connections. */
  close(): void;
}
