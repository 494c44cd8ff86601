import { executionAsyncResource } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import type { Socket } from "node:net";
import { CHANNEL_NONCE_BYTES, MarkerSplitter } from "@nullspace/proto/channel";
import { AgentTraffic } from "../../channel/agent-traffic.js";
import { type Deadline, within } from "../deadline.js";

/** Bytes that may be under way to us, in each stream and in all, before we read them. */
const WINDOW_BYTES = 1024 * 1024;

/** Memory of the session's own state, in MB: thousands of calls that stand still. */
const MAX_SESSION_MEMORY_MB = 64;

/** Of a former session, what may lie on its way to us: far less than this. */
const MOST_STALE_BYTES = 16 << 20;

/** An agent sends its settings once in a session, and a ping when it has been adopted. */
const MOST_UNASKED = 64;

/** How long a guest can keep us busy with what nobody has asked for. */
const LOOK_EVERY_MS = 1000;

const PING_EVERY_MS = 15_000;
const PING_TIMEOUT_MS = 30_000;

/** A live HTTP/2 session with the agent of one machine. */
export interface AgentLink {
  readonly session: ClientHttp2Session;
  /** Resolves, never rejects, when the session has ended for whatever reason. */
  readonly closed: Promise<void>;
  /** Whether the agent is asked from time to time whether it is still there. */
  isKeptAlive: boolean;
  /**
   * Ends the connection below the session: calls fail here, and for the guest the
   * host is just gone. Ending the session itself would reset each stream, which
   * the agent takes for a wish to cancel.
   */
  close(): void;
}

/**
 * Makes a session with the agent out of a connection to its serial port, and
 * resynchronises the channel: whatever a former session left in it is dropped,
 * at both ends. The link owns the socket from now on, also when this fails.
 *
 * @param key - the channel key that the guest listens for.
 * @param nonce - names the session; fresh random bytes.
 * @throws the system's error, DeadlineError, or the reason of the signal.
 */
export async function linkAgent(
  socket: Socket,
  key: Uint8Array,
  deadline: Deadline,
  nonce: Uint8Array = randomBytes(CHANNEL_NONCE_BYTES),
): Promise<AgentLink> {
  try {
    await within(resynchronise(socket, key, nonce), "the agent's answer on its channel", deadline);
    return await openSession(socket, deadline);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/**
 * Sends `key ‖ nonce` and drops what arrives until the nonce does. A guest that
 * floods us costs no memory, and work only up to a bound.
 * What follows the nonce stays in the socket.
 */
async function resynchronise(socket: Socket, key: Uint8Array, nonce: Uint8Array): Promise<void> {
  const splitter = new MarkerSplitter(nonce);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let stale = 0;
  const receive = (chunk: Buffer) => {
    const { after } = splitter.push(chunk);
    stale += chunk.length;
    if (after === undefined) {
      if (stale > MOST_STALE_BYTES) reject(new Error("the machine floods the agent's channel"));
      return;
    }
    socket.off("data", receive);
    socket.pause();
    if (after.length > 0) socket.unshift(after);
    resolve();
  };
  const end = () => reject(new Error("the machine closed the agent's channel"));
  socket.on("data", receive);
  socket.once("error", reject);
  socket.once("close", end);
  socket.write(Buffer.concat([key, nonce]));
  try {
    await promise;
  } finally {
    socket.off("close", end);
    socket.off("error", reject);
  }
}

async function openSession(socket: Socket, deadline: Deadline): Promise<AgentLink> {
  const session = connect("http://agent", {
    createConnection: () => socket,
    settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
    maxSessionMemory: MAX_SESSION_MEMORY_MB,
  });
  const closed = new Promise<void>((resolve) => {
    session.once("close", () => resolve());
  });
  // The loss of the connection shows in each call, and in `closed`.
  session.on("error", () => undefined);
  const close = () => {
    socket.destroy();
  };
  outliveStreams(session);
  hangUpOnNonsense(session, close);
  const traffic = new AgentTraffic(session, socket, close);
  await within(once(session, "connect"), "the HTTP/2 session", deadline);
  session.setLocalWindowSize(WINDOW_BYTES);
  const link = { session, closed, close, isKeptAlive: true };
  const looking = setInterval(() => traffic.renew(), LOOK_EVERY_MS).unref();
  const asking = setInterval(() => {
    if (!link.isKeptAlive || session.destroyed) return;
    const overdue = setTimeout(close, PING_TIMEOUT_MS).unref();
    session.ping(() => clearTimeout(overdue));
  }, PING_EVERY_MS).unref();
  void closed.then(() => {
    clearInterval(looking);
    clearInterval(asking);
  });
  return link;
}

/**
 * Keeps what Node.js has below a session a moment longer than its streams. It counts the memory of headers,
 * and ends the whole process if the garbage collector takes a session before a stream that ended within its
 * headers: a guest could have that.
 */
function outliveStreams(session: ClientHttp2Session): void {
  // Comes from down there, and before any headers can.
  session.once("remoteSettings", () => {
    const below = executionAsyncResource();
    session.once("close", () => setImmediate(() => void below));
  });
}

/**
 * Ends a session whose other end does what no agent does. Node.js and its HTTP/2 library bound the
 * memory that each frame takes and end sessions that break the protocol; these are legal, cost more
 * than the bytes of an answer would, and nobody has asked for them.
 */
function hangUpOnNonsense(session: ClientHttp2Session, hangUp: () => void): void {
  let unasked = 0;
  const count = () => {
    if (++unasked > MOST_UNASKED) hangUp();
  };
  session.on("ping", count);
  session.on("remoteSettings", count);
  // One that it has begun itself, before it confirmed that it must not.
  session.on("stream", hangUp);
  session.on("altsvc", hangUp);
  // It would answer no new call, and keep the others from connecting anew.
  session.on("goaway", hangUp);
}
