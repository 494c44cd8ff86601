import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { type Client, createClient } from "@connectrpc/connect";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import {
  FileService,
  GitService,
  PortService,
  ProcessService,
  PtyService,
  SystemService,
} from "@nullspace/proto/agent";
import { BOOT_CHANNEL_KEY, MarkerSplitter } from "@nullspace/proto/channel";

/** A host's connection to an agent. */
export interface Host extends AsyncDisposable {
  socket: Socket;
  transport: Transport;
  system: Client<typeof SystemService>;
  process: Client<typeof ProcessService>;
  file: Client<typeof FileService>;
  pty: Client<typeof PtyService>;
  git: Client<typeof GitService>;
  port: Client<typeof PortService>;
}

/** Connects as a host does: key, nonce, then HTTP/2. */
export async function dial(path: string, key: Uint8Array = BOOT_CHANNEL_KEY): Promise<Host> {
  const socket = connect(path);
  await once(socket, "connect");
  await openSession(socket, key);
  const transport = createConnectTransport({
    httpVersion: "2",
    baseUrl: "http://agent",
    nodeOptions: { createConnection: () => socket, settings: { initialWindowSize: 1 << 20 } },
  });
  return {
    socket,
    transport,
    system: createClient(SystemService, transport),
    process: createClient(ProcessService, transport),
    file: createClient(FileService, transport),
    pty: createClient(PtyService, transport),
    git: createClient(GitService, transport),
    port: createClient(PortService, transport),
    [Symbol.asyncDispose]: () => hangUp(socket),
  };
}

/** An HTTP/2 session without Connect on top. */
export async function dialHttp2(path: string): Promise<ClientHttp2Session> {
  const socket = connect(path);
  await once(socket, "connect");
  await openSession(socket, BOOT_CHANNEL_KEY);
  return connectHttp2("http://agent", { createConnection: () => socket });
}

/** Sends the preamble and drops everything that comes before the answer to it. */
export async function openSession(socket: Socket, key: Uint8Array): Promise<void> {
  const nonce = randomBytes(32);
  socket.write(Buffer.concat([key, nonce]));
  const splitter = new MarkerSplitter(nonce);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    const { after } = splitter.push(Buffer.from(chunk));
    if (after === undefined) continue;
    socket.pause();
    if (after.length > 0) socket.unshift(after);
    return;
  }
  throw new Error("the agent hung up");
}

async function hangUp(socket: Socket): Promise<void> {
  const gone = closed(socket);
  socket.destroy();
  await gone;
}

/** Resolves when the socket is closed. */
export async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, "close");
}
