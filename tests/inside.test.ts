import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileEvent, Machine } from "@nullspace/sdk";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

let home: string;
let server: TestServer;
let machine: Machine;
let local: string;

beforeAll(async () => {
  home = await linkHome(inject("preparedHome"));
  local = await mkdtemp(join(tmpdir(), "nullspace-local-"));
  server = await startServer({ home });
  machine = await server.client.machines.create({ timeoutSeconds: 0 });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(home);
  await rm(local, { recursive: true, force: true });
});

test("a file goes up and down, checked by its sum", async () => {
  const content = randomBytes(3_000_001);
  await writeFile(join(local, "up.bin"), content, { mode: 0o750 });
  const up = await machine.files.uploadFile(join(local, "up.bin"), "files/up.bin");
  expect(up.sha256).toBe(createHash("sha256").update(content).digest("hex"));
  const sum = await machine.commands.run("sha256sum files/up.bin; stat -c %a files/up.bin");
  expect(sum.stdout).toBe(`${up.sha256}  files/up.bin\n750\n`);
  await machine.files.downloadFile("files/up.bin", join(local, "down.bin"));
  expect((await readFile(join(local, "down.bin"))).equals(content)).toBe(true);
});

test("a folder with links, modes, empty folders and odd names comes back the same", async () => {
  const tree = join(local, "tree");
  await mkdir(join(tree, "empty"), { recursive: true });
  await mkdir(join(tree, "a\nb"));
  await writeFile(join(tree, "a\nb", "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  await writeFile(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0x66, 0xff])]), "latin");
  await symlink("a\nb/run.sh", join(tree, "link"));
  expect(await machine.files.uploadDir(tree, "tree")).toMatchObject({ files: 2, links: 1 });
  const names = await machine.commands.run("find tree | wc -l; readlink tree/link");
  expect(names.stdout).toContain("a\nb/run.sh");
  const back = join(local, "back");
  await machine.files.downloadDir("tree", back);
  expect((await stat(join(back, "empty"))).isDirectory()).toBe(true);
  expect((await stat(join(back, "a\nb", "run.sh"))).mode & 0o777).toBe(0o755);
  expect(await readlink(join(back, "link"))).toBe("a\nb/run.sh");
  const odd = Buffer.concat([Buffer.from(`${back}/`), Buffer.from([0x66, 0xff])]);
  expect(await readFile(odd, "utf8")).toBe("latin");
});

test("find, search and replace", async () => {
  await machine.files.writeFiles([
    { path: "src/one.ts", content: "const oldName = 1;\nuse(oldName);\n" },
    { path: "src/deep/two.ts", content: "// oldName\n" },
    { path: "src/notes.md", content: "oldName\n" },
  ]);
  const { entries } = await machine.files.find("src", "*.ts");
  expect(entries.map(({ name }) => name).toSorted()).toEqual(["one.ts", "two.ts"]);
  const { matches } = await machine.files.search("oldName", { path: "src", globs: ["*.ts"] });
  expect(matches.map(({ path, lineNumber }) => `${path}:${lineNumber}`).toSorted()).toEqual([
    "/workspace/src/deep/two.ts:1",
    "/workspace/src/one.ts:1",
    "/workspace/src/one.ts:2",
  ]);
  const options = { path: "src", globs: ["*.ts"] };
  expect(await machine.files.replace("oldName", "newName", options)).toMatchObject({
    replacements: 3,
  });
  expect(await machine.files.read("src/notes.md")).toBe("oldName\n");
  expect(await machine.files.read("src/one.ts")).toBe("const newName = 1;\nuse(newName);\n");
});

test("watch tells what a command in the machine does", async () => {
  await machine.files.makeDir("watched");
  const watch = machine.files.watch("watched", { recursive: true });
  await watch.ready;
  const line = "mkdir watched/a; echo x > watched/a/b; mv watched/a/b watched/c; rm watched/c";
  await machine.commands.run(line);
  const events: string[] = [];
  for await (const event of watch) {
    events.push(describe(event));
    if (event.type === "removed") break;
  }
  expect(events).toContain("created /workspace/watched/a");
  expect(events).toContain("renamed /workspace/watched/a/b -> /workspace/watched/c");
  expect(events.at(-1)).toBe("removed /workspace/watched/c");
});

function describe(event: FileEvent): string {
  if (event.type === "resyncRequired") return event.type;
  if (event.type === "renamed") return `renamed ${event.oldPath} -> ${event.path}`;
  return `${event.type} ${event.path}`;
}

test("git: clone from a daemon, change, commit, push", async () => {
  const serve = `set -e
    git init -q --bare /tmp/served/repo.git
    exec git daemon --listen=127.0.0.1 --base-path=/tmp/served --export-all \\
      --enable=receive-pack --reuseaddr --informative-errors --verbose`;
  const daemon = await machine.commands.run(serve, { background: true });
  for await (const { text } of daemon) if (text.includes("Ready to rumble")) break;

  const url = "git://127.0.0.1/repo.git";
  await machine.git.clone({ url, path: "cloned" });
  await machine.files.write("cloned/README.md", "hello\n");
  const path = "/workspace/cloned";
  expect(await machine.git.status({ path })).toMatchObject({
    clean: false,
    entries: [{ path: "README.md", worktree: "untracked" }],
  });
  await machine.git.add({ path, files: ["README.md"] });
  const author = { name: "Ada", email: "ada@example.com" };
  const commit = await machine.git.commit({ path, message: "Say hello", author });
  const { branch } = await machine.git.status({ path });
  await machine.git.push({ path, remote: "origin", refs: [branch ?? ""], setUpstream: true });
  await machine.git.clone({ url, path: "again" });
  const [top] = await machine.git.log({ path: "/workspace/again" });
  expect(top).toMatchObject({ sha: commit.sha, subject: "Say hello", author });
  await machine.commands.kill(daemon.pid);
});

test("signed URLs carry files without a key", async () => {
  const content = randomBytes(1_000_003);
  const upload = await machine.files.uploadUrl("by-url.bin");
  const sent = await fetch(upload.url, { method: upload.method, body: content });
  expect([sent.status, await sent.json()]).toEqual([
    200,
    { path: "/workspace/by-url.bin", size: content.length },
  ]);
  const url = await machine.downloadUrl("by-url.bin");
  const part = await fetch(url, { headers: { range: "bytes=999999-" } });
  expect(part.status).toBe(206);
  expect(Buffer.from(await part.arrayBuffer()).equals(content.subarray(999_999))).toBe(true);
});

test("a page of another origin uploads by a form and pieces, and reads a range", async () => {
  const upload = await machine.files.uploadUrl("from-page.bin");
  const download = await machine.files.downloadUrl("from-page.bin");
  const pages = createServer((_request, response) => response.end("<title>page</title>"));
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run"],
  });
  try {
    const page = await browser.newPage();
    const address = pages.address();
    await page.goto(`http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/`);
    const seen = await page.evaluate(
      async ([up = "", down = ""]) => {
        const form = new FormData();
        form.set("file", new File(["by a form"], "name.txt"));
        const posted = await fetch(up, { method: "POST", body: form });
        const whole = await (await fetch(down)).text();
        const put = (body: string, range: string) =>
          fetch(up, { method: "PUT", body, headers: { "content-range": `bytes ${range}/10` } });
        const first = await put("01234", "0-4");
        const last = await put("56789", "5-9");
        const part = await fetch(down, { headers: { range: "bytes=3-6" } });
        return {
          statuses: [posted.status, first.status, last.status, part.status],
          texts: [whole, first.headers.get("range"), await part.text()],
          range: part.headers.get("content-range"),
          etag: part.headers.get("etag") !== null,
        };
      },
      [upload.url, download.url],
    );
    expect(seen).toEqual({
      statuses: [200, 202, 200, 206],
      texts: ["by a form", "bytes=0-4", "3456"],
      range: "bytes 3-6/10",
      etag: true,
    });
  } finally {
    await browser.close();
    pages.close();
  }
});

test("a background process outlives a restart of the server, and no byte is lost or doubled", async () => {
  const line = 'i=0; while [ $i -lt 120 ]; do i=$((i+1)); echo "line $i"; sleep 0.02; done';
  const running = await machine.commands.run(line, { background: true });
  await server.stop();
  server = await startServer({ home });
  machine = await server.client.machines.connect(machine.id);
  const again = await machine.commands.connect(running.pid);
  let text = "";
  let next = 0;
  for await (const piece of again) {
    expect([piece.offset, piece.droppedBytes]).toEqual([next, 0]);
    next += piece.data.length;
    text += piece.text;
  }
  const expected = Array.from({ length: 120 }, (_, index) => `line ${index + 1}\n`).join("");
  expect(text).toBe(expected);
  expect((await again.wait()).exitCode).toBe(0);
});
