import { execFile } from "node:child_process";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason, MACHINE_ID_HEADER, MachineService } from "@nullspace/proto";
import {
  FileService,
  GitService,
  PortService,
  ProcessService,
  PtyService,
  SshdService,
  SystemService,
} from "@nullspace/proto/agent";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { StubAgent } from "../testing/stub-agent.js";
import { PROTOCOLS, startTestServer, type TestServer, transportTo } from "../testing/server.js";

let server: TestServer;
let machineId: string;
let agent: StubAgent;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => server[Symbol.asyncDispose]());

beforeEach(async () => {
  const machines = createClient(
    MachineService,
    transportTo(server.url, "Connect over HTTP/2", server.apiKey),
  );
  const { machine } = await machines.create({});
  machineId = machine?.id ?? "";
  agent = server.fakeHost.agent(machineId);
});

/** The reason that a failed call tells. */
async function reasonOf(call: Promise<unknown>): Promise<string | undefined> {
  const error = ConnectError.from(
    await call.then(
      () => new Error("the call succeeded"),
      (failure: unknown) => failure,
    ),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  return info === undefined ? error.message : ErrorReason[info.reason];
}

async function collect(
  process: Client<typeof ProcessService>,
  command: string,
  signal?: AbortSignal,
): Promise<string> {
  let text = "";
  for await (const { event } of process.start({ command }, { ...(signal && { signal }) })) {
    if (event?.event.case === "output") text += Buffer.from(event.event.value.data).toString();
  }
  return text;
}

describe.each(PROTOCOLS)("%s", (protocol) => {
  const client = <T extends DescService>(service: T, id = machineId, key = server.apiKey) =>
    createClient(service, transportTo(server.url, protocol, key, id));

  test("calls, streams and faults pass through", async () => {
    const process = client(ProcessService);
    expect((await process.list({})).processes[0]?.pid).toBe(42);
    expect(await collect(process, "echo hello")).toBe("hello");
    expect(await reasonOf(collect(process, "fault"))).toBe("PROCESS_START_FAILED");
    expect(await reasonOf(process.sendSignal({}))).toBe("PROCESS_NOT_FOUND");
  });

  test("the guest sees deadlines but no credentials", async () => {
    await client(ProcessService).list({}, { timeoutMs: 54_000 });
    const headers = agent.calls.at(-1)?.headers ?? new Headers();
    const names = [...headers.keys()];
    expect(names).not.toContain("authorization");
    expect(names).not.toContain(MACHINE_ID_HEADER);
    const timeout = headers.get("connect-timeout-ms") ?? headers.get("grpc-timeout");
    expect(timeout).toMatch(/^5\d{4}m?$/);
  });

  test("a bad key, an unknown machine and none at all are told in the caller's protocol", async () => {
    const bad = `ns_${"a".repeat(12)}_${"b".repeat(44)}`;
    expect(await reasonOf(client(ProcessService, machineId, bad).list({}))).toBe("INVALID_API_KEY");
    expect(await reasonOf(collect(client(ProcessService, machineId, bad), "echo x"))).toBe(
      "INVALID_API_KEY",
    );
    expect(await reasonOf(client(ProcessService, "m0").list({}))).toBe("MACHINE_NOT_FOUND");
    expect(await reasonOf(collect(client(ProcessService, "m0"), "echo x"))).toBe(
      "MACHINE_NOT_FOUND",
    );
    const noMachine = createClient(
      ProcessService,
      transportTo(server.url, protocol, server.apiKey),
    );
    expect(await reasonOf(noMachine.list({}))).toBe("INVALID_ARGUMENT");
  });

  test("terminals and Git are there, and refused like the rest", async () => {
    expect((await client(PtyService).list({})).sessions[0]?.sessionId).toBe("pty_1");
    expect(await reasonOf(client(GitService).status({}))).toBe("GIT_NOT_A_REPOSITORY");
    expect(await reasonOf(client(GitService, "m0").status({}))).toBe("MACHINE_NOT_FOUND");
    expect(await reasonOf(client(PtyService, "m0").list({}))).toBe("MACHINE_NOT_FOUND");
  });

  test("the agent's private services are not there for users", async () => {
    const calls = [
      client(SystemService).ping({}),
      client(PortService).list({}),
      client(SshdService).prepare({ principal: "m0" }),
    ];
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ reason: { code: Code.Unimplemented } });
    }
    const { status } = await fetch(`${server.url}/${PortService.typeName}/Dial`, {
      method: "POST",
      headers: {
        "content-type": "application/connect+proto",
        authorization: `Bearer ${server.apiKey}`,
      },
    });
    expect(status).toBe(404);
  });

  test("a cancelled call is cancelled in the guest", async () => {
    const stop = new AbortController();
    const process = client(ProcessService);
    const stream = process.start({ command: "hang" }, { signal: stop.signal });
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    stop.abort();
    await expect(iterator.next()).rejects.toMatchObject({ code: Code.Canceled });
    const reason = ConnectError.from(await agent.calls.at(-1)?.aborted);
    expect(reason.code).toBe(Code.Canceled);
  });

  test("a deadline ends a call in the guest and at the caller", async () => {
    const process = client(ProcessService);
    const call = (async () => {
      for await (const { event } of process.start({ command: "hang" }, { timeoutMs: 200 })) {
        expect(event?.event.case).toBe("started");
      }
    })();
    await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    await agent.calls.at(-1)?.aborted;
  });

  test("a slow reader slows the guest down", async () => {
    const stop = new AbortController();
    const stream = client(ProcessService).start({ command: "flood" }, { signal: stop.signal });
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.next();
    // Produced bytes stop growing once every buffer between is full.
    let produced = -1;
    await vi.waitFor(
      () => {
        const grown = agent.produced !== produced;
        produced = agent.produced;
        expect(grown).toBe(false);
      },
      { interval: 300, timeout: 5000 },
    );
    expect(produced).toBeLessThan(32 << 20);
    stop.abort();
    await expect(iterator.next()).rejects.toThrow("abort");
  });

  test("large bodies pass in both directions", async () => {
    const file = client(FileService);
    const data = Buffer.alloc(1 << 20, "y");
    const before = agent.received;
    await Promise.all([1, 2, 3].map(async () => file.uploadPart({ uploadId: "u", data })));
    expect(agent.received - before).toBe(3 << 20);
    let flooded = 0;
    const stop = new AbortController();
    const stream = client(ProcessService).start({ command: "flood" }, { signal: stop.signal });
    for await (const { event } of stream) {
      if (event?.event.case === "output") flooded += event.event.value.data.length;
      if (flooded > 20 << 20) break;
    }
    stop.abort();
    await agent.calls.at(-1)?.aborted;
  });

  test("a machine that dies before it answers is told, and in a stream ends it", async () => {
    const process = client(ProcessService);
    const stream = process.start({ command: "hang" });
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    server.fakeHost.die(machineId, "Kernel panic");
    await expect(iterator.next()).rejects.toBeInstanceOf(ConnectError);
    await vi.waitFor(async () => expect(await reasonOf(process.list({}))).toBe("MACHINE_DIED"));
  });
});

test("an agent that is lost before it answers is unreachable, and says whether it may have acted", async () => {
  const session = connectHttp2(server.url);
  const call = session.request({
    ":method": "POST",
    ":path": "/nullspace.agent.v1.FileService/UploadPart",
    authorization: `Bearer ${server.apiKey}`,
    [MACHINE_ID_HEADER]: machineId,
    "content-type": "application/json",
  });
  // Its body never ends, so the agent cannot answer.
  call.write("{");
  await vi.waitFor(async () => {
    const { state } = await server.fakeHost.connectAgent(machineId);
    expect(state.nextStreamID).toBeGreaterThan(1);
  });
  agent.cut();
  const answer = await readAll(call);
  expect(answer).toContain('"unavailable"');
  session.destroy();
});

test("a caller whose connection breaks is no cancellation", async () => {
  const session = connectHttp2(server.url);
  session.on("error", () => undefined);
  const call = session.request({
    ":method": "POST",
    ":path": "/nullspace.agent.v1.ProcessService/Start",
    authorization: `Bearer ${server.apiKey}`,
    [MACHINE_ID_HEADER]: machineId,
    "content-type": "application/connect+json",
  });
  const message = Buffer.from(JSON.stringify({ command: "hang" }));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  call.end(Buffer.concat([prefix, message]));
  call.on("error", () => undefined);
  await vi.waitFor(() => expect(agent.calls.at(-1)?.method).toBe("start"));
  session.socket.destroy();
  const reason = ConnectError.from(await agent.calls.at(-1)?.aborted);
  expect(reason.message).toContain("CONNECT_ERROR");
});

test("pages of any origin may ask", async () => {
  const preflight = await fetch(`${server.url}/nullspace.agent.v1.ProcessService/List`, {
    method: "OPTIONS",
    headers: { origin: "https://example.org", "access-control-request-method": "POST" },
  });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
  expect(preflight.headers.get("access-control-allow-headers")).toContain(MACHINE_ID_HEADER);
  const answer = await fetch(`${server.url}/nullspace.agent.v1.ProcessService/List`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${server.apiKey}`,
      [MACHINE_ID_HEADER]: machineId,
    },
    body: "{}",
  });
  expect(await answer.json()).toMatchObject({ processes: [{ pid: 42 }] });
  expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  expect(answer.headers.get("x-request-id")).toMatch(/^[a-z0-9]{20}$/);
});

test("what is no HTTP at all does not harm the server", async () => {
  for (const garbage of [
    "\0\0\0\0\0",
    "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    "GET / HTTP/9\r\n\r\n",
    "P",
  ]) {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.end(garbage);
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
  }
  for (const host of ["a b", ""]) {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
    socket.end(
      `POST /nullspace.v1.MachineService/List HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\n\r\n`,
    );
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
  }
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
});

describe("buf curl, a client that is not ours", () => {
  const run = promisify(execFile);
  const proto = fileURLToPath(new URL("../../../../proto", import.meta.url));
  const buf = fileURLToPath(new URL("../../../../proto/node_modules/.bin/buf", import.meta.url));

  test.each(["connect", "grpc", "grpcweb"])("%s", async (protocol) => {
    const call = async (method: string, data: object) => {
      const { stdout } = await run(
        buf,
        [
          "curl",
          `--schema=${proto}`,
          `--protocol=${protocol}`,
          "--http2-prior-knowledge",
          `--header=authorization: Bearer ${server.apiKey}`,
          `--header=${MACHINE_ID_HEADER}: ${machineId}`,
          `--data=${JSON.stringify(data)}`,
          `${server.url}/${method}`,
        ],
        { cwd: proto },
      );
      return stdout;
    };
    expect(await call("nullspace.v1.MachineService/Get", { id: machineId })).toContain(machineId);
    const output = await call("nullspace.agent.v1.ProcessService/Start", { command: "echo hi" });
    expect(output).toContain(Buffer.from("hi").toString("base64"));
    await expect(call("nullspace.v1.MachineService/Get", { id: "m0" })).rejects.toThrow(
      "not_found",
    );
  });
});

async function readAll(stream: AsyncIterable<unknown>): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
