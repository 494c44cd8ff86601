import type { Socket } from "node:net";

/** How a connection begins. */
export type Protocol = "http1" | "http2" | "tls";

/** Begins HTTP/2's client preface and no method of HTTP/1.1. */
const HTTP2_BEGINS = "PRI";
/** Begins a handshake of TLS and no text. */
const TLS_HANDSHAKE = 0x16;

/**
 * Tells HTTP/1.1, HTTP/2 and TLS apart by the first bytes of a connection, and leaves all
 * bytes where they were.
 *
 * @param timeoutMs A connection that says nothing for so long is closed.
 * @param onProtocol Called once, unless the connection ends before.
 */
export function sniffProtocol(
  socket: Socket,
  timeoutMs: number,
  onProtocol: (protocol: Protocol) => void,
): void {
  const giveUp = () => socket.destroy();
  const timer = setTimeout(giveUp, timeoutMs);
  const stop = () => {
    clearTimeout(timer);
    socket.off("readable", onReadable);
    socket.off("end", giveUp);
    socket.off("error", giveUp);
    socket.off("close", stop);
  };
  const onReadable = () => {
    // Fewer bytes come only when these were the last.
    const head: unknown = socket.read(HTTP2_BEGINS.length);
    if (!(head instanceof Buffer)) return;
    stop();
    socket.unshift(head);
    if (head[0] === TLS_HANDSHAKE) onProtocol("tls");
    else onProtocol(head.toString("latin1") === HTTP2_BEGINS ? "http2" : "http1");
  };
  socket.on("readable", onReadable);
  socket.once("end", giveUp);
  socket.once("error", giveUp);
  socket.once("close", stop);
}
