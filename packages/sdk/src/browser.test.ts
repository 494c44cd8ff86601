import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import type * as Sdk from "./index.js";
import { FakeGit } from "./testing/fake-git.js";
import { FakeServer } from "./testing/fake-server.js";

let folder: string;
let output: string;
let inputs: string[];
let imports: unknown[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "nullspace-sdk-"));
  output = join(folder, "sdk.mjs");
  // What a bundler makes of the published package, by its exports and imports.
  const { metafile } = await build({
    entryPoints: [fileURLToPath(new URL("../dist/index.js", import.meta.url))],
    bundle: true,
    platform: "browser",
    format: "esm",
    outfile: output,
    metafile: true,
    logLevel: "silent",
  });
  inputs = Object.keys(metafile.inputs);
  imports = Object.values(metafile.outputs).flatMap((file) => file.imports);
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

async function importBundle(): Promise<typeof Sdk> {
  // The bundle was made from this very module.
  // oxlint-disable-next-line typescript/no-unsafe-return
  return import(pathToFileURL(output).href);
}

test("a bundle for browsers holds nothing of Node.js", () => {
  expect(imports).toEqual([]);
  expect(
    inputs.filter((path) =>
      /^node:|connect-node|transport\/node|transfer\/(node|upload|download|local)/.test(path),
    ),
  ).toEqual([]);
  expect(inputs.some((path) => path.endsWith("transport/web.js"))).toBe(true);
});

test("the bundle works over fetch and HTTP/1.1", async () => {
  await using server = await FakeServer.start({ http: "1.1" });
  const { Nullspace, NotFoundError } = await importBundle();
  await using client = new Nullspace({ url: server.url, apiKey: server.apiKey });
  await using machine = await client.machines.create();
  const pieces: string[] = [];
  const { stdout, exitCode } = await machine.commands.run("cat; exit 2", {
    stdin: "from a browser",
    onStdout: (text) => void pieces.push(text),
  });
  expect([stdout, exitCode, pieces.join("")]).toEqual(["from a browser", 2, "from a browser"]);
  await machine.files.write("large", new Blob([new Uint8Array(2_000_000)]));
  expect(await machine.files.read("large", { format: "bytes" })).toHaveLength(2_000_000);
  await expect(machine.files.read("none")).rejects.toThrow(NotFoundError);

  const upload = machine.files.uploadFile("local", "remote");
  await expect(upload).rejects.toMatchObject({ reason: "UNIMPLEMENTED", name: "NullspaceError" });

  const controller = new AbortController();
  const run = machine.commands.run("sleep 30", {
    signal: controller.signal,
    onStart: () => controller.abort(),
  });
  await expect(run).rejects.toMatchObject({ name: "CancelledError" });
  await expect.poll(() => server.processes.cancelled.length).toBe(1);
});

test("terminals and Git work over fetch and HTTP/1.1", async () => {
  await using server = await FakeServer.start({ http: "1.1" });
  const { Nullspace, GitError } = await importBundle();
  await using client = new Nullspace({ url: server.url, apiKey: server.apiKey });
  await using machine = await client.machines.create();
  const session = await machine.pty.create();
  await Promise.all(["one ", "two ", "three"].map((word) => session.sendInput(word)));
  let text = "";
  for await (const output of session) {
    text += output.text;
    if (text.endsWith("three")) break;
  }
  expect(text).toBe("one two three");
  await session.kill();
  expect(await session.wait()).toMatchObject({ signal: "SIGKILL" });

  const phases: string[] = [];
  const url = "https://example.com/x.git";
  const onProgress = ({ phase }: { phase: string }) => void phases.push(phase);
  expect((await machine.git.clone({ url, onProgress })).head).toBe("c0ffee");
  expect(phases).toContain("Receiving objects");
  server.git.failure = FakeGit.rejected();
  await expect(machine.git.push()).rejects.toThrow(GitError);
});

test("a server that is not there is UnavailableError over fetch too", async () => {
  const { Nullspace } = await importBundle();
  await using client = new Nullspace({ url: "http://127.0.0.1:1", apiKey: "ns_x_y" });
  const call = client.machines.list({ requestTimeoutMs: 300 });
  await expect(call).rejects.toMatchObject({
    name: "UnavailableError",
    reason: "CONNECTION_FAILED",
  });
});
