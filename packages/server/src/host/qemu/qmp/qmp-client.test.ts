import { spawn, type StdioOptions } from "node:child_process";
import { once } from "node:events";
import { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import * as fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { DeadlineError } from "../../deadline.js";
import { QmpClient, QmpClosedError, QmpCommandError } from "./qmp-client.js";

const GREETING = {
  QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 } }, capabilities: [] },
};
const soon = { timeoutMs: 5000 };

/** A client whose QEMU is this test. */
async function openFake(): Promise<{ qmp: QmpClient; qemu: Duplex; sent: string[] }> {
  const [near, qemu] = duplexPair();
  const sent: string[] = [];
  qemu.on("data", (chunk: Buffer) => sent.push(...chunk.toString().trim().split("\n")));
  qemu.write(`${JSON.stringify(GREETING)}\r\n`);
  const qmp = await QmpClient.open(near, soon);
  onTestFinished(() => qmp[Symbol.asyncDispose]());
  return { qmp, qemu, sent };
}

/** A client of a real QEMU that has no machine. */
async function openReal(): Promise<QmpClient> {
  const args =
    "-machine none -S -nodefaults -no-user-config -display none" +
    " -chardev socket,id=qmp,fd=3 -mon chardev=qmp,mode=control";
  const stdio: StdioOptions = ["ignore", "ignore", "inherit", "pipe"];
  const child = spawn("qemu-system-x86_64", args.split(" "), { stdio });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  });
  const monitor = child.stdio[3];
  // Node gives a socket for a descriptor beyond stderr that was asked for as a pipe.
  if (!(monitor instanceof Socket)) throw new Error("no monitor");
  return QmpClient.open(monitor, soon);
}

test("real QEMU: commands are answered, in order, several at once", async () => {
  const qmp = await openReal();
  expect((await qmp.version).major).toBeGreaterThanOrEqual(7);
  const answers = await Promise.all([
    qmp.execute("query-status", {}),
    qmp.execute("query-cpu-definitions", {}),
    qmp.execute("query-status", {}),
  ]);
  expect(answers[0]).toEqual({ status: "prelaunch", running: false });
  expect(answers[1].map((model) => model.name)).toContain("max");
  expect(answers[2]).toEqual(answers[0]);
});

test("real QEMU: a refusal names the command and QEMU's own reason", async () => {
  const qmp = await openReal();
  const refused = qmp.execute("migrate-incoming", { uri: "fd:9" });
  await expect(refused).rejects.toThrow(QmpCommandError);
  await expect(refused).rejects.toThrow(/^migrate-incoming: '-incoming' was not specified/);
});

test("real QEMU: quit tells SHUTDOWN and closes the connection", async () => {
  const qmp = await openReal();
  const shutdown = qmp.once("SHUTDOWN", soon);
  await qmp.execute("quit", {});
  expect(await shutdown).toEqual({ guest: false, reason: "host-qmp-quit" });
  await qmp.closed;
  await expect(qmp.execute("query-status", {})).rejects.toThrow(QmpClosedError);
});

test("answers find their command when they are torn and mixed with events", async () => {
  const { qmp, qemu, sent } = await openFake();
  const resumed = qmp.once("RESUME", soon);
  const status = qmp.execute("query-status", {});
  const text = [
    { timestamp: { seconds: 1, microseconds: 2 }, event: "NOBODY_LISTENS" },
    { timestamp: { seconds: 1, microseconds: 2 }, event: "RESUME" },
    { return: { status: "running", running: true, singlestep: false }, id: 2 },
  ]
    .map((message) => `${JSON.stringify(message)}\r\n`)
    .join("");
  for (const byte of Buffer.from(text)) qemu.write(Buffer.of(byte));
  expect(await status).toEqual({ status: "running", running: true });
  await resumed;
  expect(sent.map((line) => JSON.parse(line) as unknown)).toEqual([
    { execute: "qmp_capabilities", arguments: {}, id: 1 },
    { execute: "query-status", arguments: {}, id: 2 },
  ]);
});

test("a command that is not answered ends at its deadline, and its late answer is nobody's", async () => {
  const { qmp, qemu } = await openFake();
  await expect(qmp.execute("stop", {}, { timeoutMs: 5 })).rejects.toThrow(DeadlineError);
  const status = qmp.execute("query-status", {});
  qemu.write('{"return": {}, "id": 2}\n{"return": {"status":"paused","running":false}, "id": 3}\n');
  expect(await status).toEqual({ status: "paused", running: false });
});

test("an abort ends the wait with its reason", async () => {
  const { qmp } = await openFake();
  const controller = new AbortController();
  const stop = qmp.execute("stop", {}, { signal: controller.signal });
  controller.abort(new Error("enough"));
  await expect(stop).rejects.toThrow("enough");
});

test("when QEMU goes, every wait ends", async () => {
  const { qmp, qemu } = await openFake();
  const waits = [qmp.execute("stop", {}), qmp.once("RESUME", soon)];
  qemu.destroy();
  for (const wait of waits) await expect(wait).rejects.toThrow(QmpClosedError);
  await qmp.closed;
});

test("a refused negotiation closes the connection", async () => {
  const { qmp, qemu } = await openFake();
  qemu.write('{"error": {"class": "GenericError", "desc": "no"}, "id": 1}\n');
  await qmp.closed;
  await expect(qmp.execute("stop", {})).rejects.toThrow(QmpClosedError);
});

test("no greeting: the connection is given up", async () => {
  const [near, far] = duplexPair();
  await expect(QmpClient.open(near, { timeoutMs: 5 })).rejects.toThrow(DeadlineError);
  expect(near.destroyed).toBe(true);
  far.destroy();
});

test.each([
  ["not JSON", "hello\n"],
  ["no message", '{"a": 1}\n'],
  ["an answer without id", '{"return": {}}\n'],
  ["an error without id", '{"error": {"class": "GenericError", "desc": "what?"}}\n'],
  ["an answer of the wrong shape", '{"return": [], "id": "x"}\n'],
  ["a line without end", "x".repeat(5 * 1024 * 1024)],
])("hostile QEMU: %s closes the connection", async (_name, bytes) => {
  const { qmp, qemu } = await openFake();
  const status = qmp.execute("query-status", {});
  qemu.write(bytes);
  await expect(status).rejects.toThrow(QmpClosedError);
});

test("an answer of the wrong shape fails its command alone", async () => {
  const { qmp, qemu } = await openFake();
  const status = qmp.execute("query-status", {});
  qemu.write('{"return": {"status": 4}, "id": 2}\n');
  await expect(status).rejects.toThrow("expected a string at status");
  const stop = qmp.execute("stop", {});
  qemu.write('{"return": {}, "id": 3}\n');
  await stop;
});

test("random bytes and random JSON never hang or crash the client", async () => {
  const line = fc.oneof(
    fc.json(),
    fc.string(),
    fc.json().map((json) => `{"return": ${json}, "id": 2}`),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.uint8Array(), async (lines, tail) => {
      const { qmp, qemu } = await openFake();
      const status = qmp.execute("query-status", {}).then(
        () => "answered",
        () => "failed",
      );
      qemu.write(Buffer.concat([Buffer.from(lines.map((text) => `${text}\n`).join("")), tail]));
      qemu.end();
      expect(["answered", "failed"]).toContain(await status);
      await qmp.closed;
    }),
  );
});
