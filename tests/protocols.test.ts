import { fromBinary } from "@bufbuild/protobuf";
import { type ErrorInfo, ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { parseJson, textAt } from "./support/json.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

/**
 * A client that is not ours: buf's own, which speaks all three protocols over
 * cleartext HTTP/2 and knows our API only from the .proto files.
 */
const PROTO = fileURLToPath(new URL("../proto", import.meta.url));
const BUF = fileURLToPath(new URL("../proto/node_modules/.bin/buf", import.meta.url));

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

async function curl(
  protocol: string,
  method: string,
  body: unknown,
  headers: string[] = [],
): Promise<unknown[]> {
  const { stdout } = await promisify(execFile)(BUF, [
    "curl",
    "--schema",
    PROTO,
    "--protocol",
    protocol,
    "--http2-prior-knowledge",
    "-H",
    `Authorization: Bearer ${server.apiKey}`,
    ...headers.flatMap((header) => ["-H", header]),
    "-d",
    JSON.stringify(body),
    `${server.url}/${method}`,
  ]);
  // A stream prints one JSON document after another.
  const documents = parseJson(`[${stdout.trim().replaceAll(/}\s*{/g, "},{")}]`);
  const list: unknown[] = Array.isArray(documents) ? documents : [];
  return list;
}

/** What the command failed with, as the client prints it. */
async function curlError(protocol: string, method: string, body: unknown, headers?: string[]) {
  try {
    await curl(protocol, method, body, headers);
  } catch (error) {
    return parseJson(textAt(error, "stderr"));
  }
  throw new Error(`${method} did not fail`);
}

/** The detail that says why, of an error as the client prints it. */
function infoOf(error: unknown): ErrorInfo {
  return fromBinary(ErrorInfoSchema, Buffer.from(textAt(error, "details", "0", "value"), "base64"));
}

describe.each(["connect", "grpc", "grpcweb"])("%s", (protocol) => {
  test("a machine from create to kill", async () => {
    const [created] = await curl(protocol, "nullspace.v1.MachineService/Create", {
      metadata: { by: protocol },
    });
    expect(created).toMatchObject({
      machine: { state: "MACHINE_STATE_RUNNING", template: "base:latest" },
      receipt: { entropyReseeded: true, identityRenewed: true },
    });
    const id = textAt(created, "machine", "id");
    const toMachine = [`nullspace-machine-id: ${id}`];

    const events = await curl(
      protocol,
      "nullspace.agent.v1.ProcessService/Start",
      { command: "echo over $((1+1)); exit 7" },
      toMachine,
    );
    expect(events).toMatchObject([
      { event: { started: {} } },
      { event: { output: { data: Buffer.from("over 2\n").toString("base64") } } },
      { event: { exit: { exitCode: 7 } } },
    ]);

    const missing = await curlError(
      protocol,
      "nullspace.agent.v1.FileService/Stat",
      { path: "/nowhere" },
      toMachine,
    );
    expect(missing).toMatchObject({ code: "not_found" });
    expect(infoOf(missing).reason).toBe(ErrorReason.FILE_NOT_FOUND);

    const [killed] = await curl(protocol, "nullspace.v1.MachineService/Kill", { id });
    expect(killed).toMatchObject({ machine: { state: "MACHINE_STATE_KILLED" } });

    const gone = await curlError(protocol, "nullspace.agent.v1.ProcessService/List", {}, toMachine);
    expect(gone).toMatchObject({ code: "failed_precondition" });
    expect(infoOf(gone).reason).toBe(ErrorReason.MACHINE_NOT_RUNNING);
  });

  test("errors keep their reason", async () => {
    const error = await curlError(protocol, "nullspace.v1.MachineService/Create", {
      template: "bass",
    });
    expect(error).toMatchObject({ code: "not_found" });
    expect(infoOf(error)).toMatchObject({
      reason: ErrorReason.TEMPLATE_NOT_FOUND,
      details: { nearest: "base" },
    });
  });

  test("the agent's private service is not for users", async () => {
    const error = await curlError(protocol, "nullspace.agent.v1.SystemService/Ping", {}, [
      "nullspace-machine-id: m0000000000000000000",
    ]);
    expect(textAt(error, "code")).toMatch(/unimplemented|permission_denied|not_found/);
  });
});
