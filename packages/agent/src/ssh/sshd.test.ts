import { once } from "node:events";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { ErrorReason } from "@nullspace/proto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { StateStore } from "../guest/state.js";
import { GuestHelper } from "../helper/guest-helper.js";
import { helperProgram } from "../helper/program.js";
import { Sshd, type SshdOptions } from "./sshd.js";

const AUTHORITY = "ssh-ed25519 AAAACA";
const HOST_KEY_FILES = ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"] as const;

let top: string;
let helper: GuestHelper;
let options: SshdOptions;
let sshd: Sshd;

beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), "nullspace-sshd-"));
  helper = await GuestHelper.open({
    program: helperProgram(),
    stateFolder: top,
    root: top,
    test: true,
  });
  const state = new StateStore(top);
  const etc = join(top, "etc", "ssh");
  await mkdir(etc, { recursive: true });
  await writeFile(join(etc, HOST_KEY_FILES[0]), "private");
  await writeFile(join(etc, HOST_KEY_FILES[1]), "ssh-ed25519 AAAAHOST\n");
  // Says what it was started with, then gives back what it is told.
  const fake = join(top, "fake-sshd");
  await writeFile(fake, '#!/bin/sh\necho "$@"\nexec cat\n');
  await chmod(fake, 0o755);
  const folder = join(top, "ssh");
  options = { helper, state, folder, etc, sshd: fake, port: 0 };
  sshd = new Sshd(options);
});

afterEach(async () => {
  await helper[Symbol.asyncDispose]();
  await rm(top, { recursive: true });
});

async function talk(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(text);
  return (await buffer(socket)).toString();
}

const descriptors = async () => (await readdir(`/proc/${helper.pid}/fd`)).length;

const prepare = (principal = "m1") => sshd.prepare({ authority: AUTHORITY, principal });

test("each connection to the loopback gets a server of its own, with our configuration", async () => {
  const { port } = await prepare();
  const started = `-i -f ${options.folder}/sshd_config\n`;
  const talks = ["one", "two", "three"].map((word) => talk(port, word));
  expect(await Promise.all(talks)).toEqual(["one", "two", "three"].map((word) => started + word));
  expect((await prepare()).port).toBe(port);
  expect(await talk(port, "again")).toBe(`${started}again`);
});

test("a hundred connections leave no descriptor behind", async () => {
  const { port } = await prepare();
  const before = await descriptors();
  await Promise.all(Array.from({ length: 100 }, () => talk(port, "x")));
  await expect.poll(descriptors).toBe(before);
});

test("the principals are those of the last request; they and the host key go with an adoption", async () => {
  const principals = join(options.folder, "principals");
  await prepare("m1");
  expect((await prepare("m2")).hostKey).toBe("ssh-ed25519 AAAAHOST");
  expect(await readFile(principals, "utf8")).toBe("m2\n");
  expect(await readFile(join(options.folder, "authorities"), "utf8")).toBe(`${AUTHORITY}\n`);
  expect((await stat(join(options.folder, "sshd_config"))).mode & 0o777).toBe(0o600);
  const key = "00".repeat(32);
  const identity = ["0", "0", key, "machine", "host", "boot", "2", "{}", key, ""];
  const hostKey = ["new private", "ssh-ed25519 AAAANEW\n"];
  await helper.request("adopt", ...identity, ...hostKey);
  await expect(stat(principals)).rejects.toThrow(/ENOENT/);
  expect((await prepare("m3")).hostKey).toBe("ssh-ed25519 AAAANEW");
  expect(await readFile(principals, "utf8")).toBe("m3\n");
});

const SSH_UNAVAILABLE = { reason: ErrorReason.SSH_UNAVAILABLE };

test("without OpenSSH or a host key, or with its port taken, it says so", async () => {
  for (const name of HOST_KEY_FILES) {
    const path = join(options.etc, name);
    await rename(path, `${path}.away`);
    await expect(prepare()).rejects.toMatchObject({
      ...SSH_UNAVAILABLE,
      details: { missing: path },
    });
    await rename(`${path}.away`, path);
  }
  sshd = new Sshd({ ...options, sshd: "/no/sshd" });
  await expect(prepare()).rejects.toMatchObject({
    ...SSH_UNAVAILABLE,
    details: { missing: "/no/sshd" },
  });
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = taken.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  sshd = new Sshd({ ...options, port: address.port });
  await expect(prepare()).rejects.toMatchObject(SSH_UNAVAILABLE);
  taken.close();
  // None of that is in the way of the next.
  sshd = new Sshd(options);
  await prepare();
});

test("nothing but one line becomes a line of what sshd reads", async () => {
  for (const principal of ["", "m1\nroot", "m1 ", "m\u00001"]) {
    await expect(prepare(principal)).rejects.toThrow("sshd cannot be told");
  }
});
