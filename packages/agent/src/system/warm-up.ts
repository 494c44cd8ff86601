import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { connect as dial, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { contentTypeStreamProto } from "@connectrpc/connect/protocol-connect";
import {
  AdoptRequestSchema,
  DialRequestSchema,
  FileService,
  FileType,
  PortService,
  ProcessService,
  SystemService,
} from "@nullspace/proto/agent";
import { envelope } from "@nullspace/proto/envelopes";
import type { ProcessTable } from "../process/process-table.js";
import type { Http2Endpoint } from "../rpc/http2-endpoint.js";
import { adopt, type Guest } from "./adopt.js";

/**
 * Enough for every function to have been parsed, too few for the engine to compile any to
 * machine code: emulation has to translate that anew after each restore, function by
 * function, while it shares what interprets. Measured: with 40 a start took 80 ms longer.
 */
const ROUNDS = 4;
const NO_KEY = "no key yet\n";
const PART = new Uint8Array(4096);

/** What is warmed up. */
export interface WarmUpParts {
  endpoint: Http2Endpoint;
  table: ProcessTable;
  guest: Guest;
  /** A folder to write a file to. */
  folder: string;
  user: string;
}

/**
 * Calls the agent's own services over a connection to itself. What is captured
 * afterwards has all code of a call loaded.
 */
export async function warmUp(parts: WarmUpParts): Promise<void> {
  const { endpoint, table, guest, folder, user } = parts;
  await using near = await dialOneself(endpoint, join(folder, "warm-up.sock"));
  const session = connect("http://agent", { createConnection: () => near.socket });
  try {
    const transport = createConnectTransport({
      httpVersion: "2",
      baseUrl: "http://agent",
      sessionManager: {
        authority: "http://agent",
        request: async (method, path, headers, options) =>
          session.request({ ...headers, ":method": method, ":path": path }, options),
        notifyResponseByteRead: () => undefined,
      },
    });
    const system = createClient(SystemService, transport);
    const processes = createClient(ProcessService, transport);
    const files = createClient(FileService, transport);
    const path = join(folder, "warm-up");
    const tree = join(folder, "warm-up-tree");
    for (let round = 0; round < ROUNDS; round++) {
      await system.ping({});
      await processes.list({});
      const events = processes.start({ command: "echo", args: ["warm"], exec: true, user });
      for await (const event of events) void event;
      await files.write({ path, data: PART });
      for await (const part of files.read({ path, checksums: true })) void part;
      await rehearseTransfers(files, tree);
      await rehearseDial(session);
    }
    await files.remove({ path });
    await files.remove({ path: tree, recursive: true });
    await rehearseAdoptions(guest);
  } finally {
    session.close();
    await once(session, "close");
    table.forgetEnded();
  }
}

/** A file in parts, and a folder there and back. */
async function rehearseTransfers(files: Client<typeof FileService>, path: string): Promise<void> {
  const sha256 = sha256Of(PART);
  const blocksSha256 = sha256Of(sha256);
  const file = {
    type: FileType.FILE,
    mode: 0o644,
    modifiedAt: timestampNow(),
    data: PART,
    last: true,
  };
  const entries = [
    { path: Buffer.from("folder"), type: FileType.DIRECTORY, mode: 0o755 },
    { ...file, path: Buffer.from("folder/file") },
  ];
  await files.writeTree({ path, entries, sha256 });
  for await (const message of files.readTree({ path })) void message;
  const upload = { path: join(path, "uploaded"), blockChecksum: true };
  const { uploadId } = await files.beginUpload(upload);
  await files.uploadPart({ uploadId, data: PART });
  await files.commitUpload({ uploadId, size: BigInt(PART.length), blocksSha256 });
}

function sha256Of(data: Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}

/** A connection to a port, as the server makes it: a preview's or SSH's first. */
async function rehearseDial(session: ClientHttp2Session): Promise<void> {
  await using service = await echo();
  const call = session.request({
    ":method": "POST",
    ":path": `/${PortService.typeName}/${PortService.method.dial.name}`,
    "content-type": contentTypeStreamProto,
  });
  const send = (message: NonNullable<MessageInitShape<typeof DialRequestSchema>["message"]>) =>
    call.write(envelope(toBinary(DialRequestSchema, create(DialRequestSchema, { message }))));
  send({ case: "open", value: { port: service.port } });
  send({ case: "data", value: PART });
  send({ case: "end", value: {} });
  call.end();
  await once(call.resume(), "close");
}

/** A service on loopback that says what it hears. */
async function echo(): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const place = server.address();
  if (place === null || typeof place === "string") throw new Error("no port");
  return {
    port: place.port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

/** A connection to the endpoint, through a socket as in a session. */
async function dialOneself(
  endpoint: Http2Endpoint,
  path: string,
): Promise<AsyncDisposable & { socket: Socket }> {
  const server = createServer((socket) => endpoint.accept(socket));
  server.listen(path);
  await once(server, "listening");
  const socket = dial(path);
  return {
    socket,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** A restored guest is adopted before anything else: that is the way to every first command. */
async function rehearseAdoptions(guest: Guest): Promise<void> {
  const { helper, state } = guest;
  const { machine, channelKey } = state;
  for (let round = 0; round < ROUNDS; round++) {
    const machineId = `rehearsal-${round}`;
    const request = create(AdoptRequestSchema, {
      machineId,
      hostname: machineId,
      time: timestampNow(),
      entropy: randomBytes(32),
      channelKey,
      // Files for the keys to come: to write over them costs a machine less than to make them.
      sshHostKey: NO_KEY,
      sshHostPublicKey: NO_KEY,
    });
    await adopt(guest, request);
  }
  await state.restore(helper, machine, channelKey);
}
