import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { FLAG, FRAME, frame, headerBlock, PREFACE, uint32 } from "./http2-frames.js";

const CANCEL = 8;

/**
 * One request over HTTP/2, frame by frame. Node's own client ends a stream before
 * it resets it; others do not.
 */
export class RawHttp2Request {
  readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Sends the headers of a PUT request. */
  static async put(url: string): Promise<RawHttp2Request> {
    const { hostname, port, pathname, search, host } = new URL(url);
    const socket = connect(Number(port), hostname);
    await once(socket, "connect");
    socket.on("error", () => undefined).resume();
    const headers = headerBlock([
      [":method", "PUT"],
      [":scheme", "http"],
      [":authority", host],
      [":path", pathname + search],
    ]);
    socket.write(PREFACE);
    socket.write(frame(FRAME.settings, 0, 0, Buffer.alloc(0)));
    socket.write(frame(FRAME.headers, FLAG.endHeaders, 1, headers));
    return new RawHttp2Request(socket);
  }

  /** Sends some of the body, less than 16 KiB. */
  write(data: Buffer): void {
    this.socket.write(frame(FRAME.data, 0, 1, data));
  }

  /** Resets the stream without ending it. */
  cancel(): void {
    this.socket.write(frame(FRAME.reset, 0, 1, uint32(CANCEL)));
  }
}
