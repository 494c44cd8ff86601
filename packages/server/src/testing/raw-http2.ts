import { once } from "node:events";
import { connect, type Socket } from "node:net";

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const END_HEADERS = 4;
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
    const headers = [
      [":method", "PUT"],
      [":scheme", "http"],
      [":authority", host],
      [":path", pathname + search],
    ];
    const block = headers.map(([name = "", value = ""]) =>
      Buffer.concat([Buffer.from([0]), text(name), text(value)]),
    );
    socket.write(PREFACE);
    socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
    socket.write(frame(HEADERS, END_HEADERS, 1, Buffer.concat(block)));
    return new RawHttp2Request(socket);
  }

  /** Sends some of the body, less than 16 KiB. */
  write(data: Buffer): void {
    this.socket.write(frame(DATA, 0, 1, data));
  }

  /** Resets the stream without ending it. */
  cancel(): void {
    const code = Buffer.alloc(4);
    code.writeUInt32BE(CANCEL);
    this.socket.write(frame(RST_STREAM, 0, 1, code));
  }
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A string of HPACK as it is; its length is a number with a prefix of 7 bits. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const length: number[] = [];
  if (bytes.length < 127) length.push(bytes.length);
  else {
    length.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest = rest >> 7) length.push((rest & 127) | 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
