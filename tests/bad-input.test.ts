import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, open, readdir, rm, symlink, truncate } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AuthError,
  InvalidArgumentError,
  NotFoundError,
  Nullspace,
  ResourceExhaustedError,
} from "@nullspace/sdk";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { expectNothingLeft, leftovers } from "./support/leaks.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { failToStart, SERVER_BIN, startServer, type TestServer } from "./support/server.js";

describe("a running server", () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startServer({ home: await linkHome(inject("preparedHome")) });
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await removeHome(server.home);
  });

  test("unknown template: names the nearest", async () => {
    const error = server.client.machines.create({ template: "bsae" });
    await expect(error).rejects.toBeInstanceOf(NotFoundError);
    await expect(error).rejects.toThrow(/base/);
  });

  test("unknown machine", async () => {
    const error = server.client.machines.getInfo("m0000000000000000000");
    await expect(error).rejects.toMatchObject({ reason: "MACHINE_NOT_FOUND", retryable: false });
  });

  test.each(["", "ns_nobody_nothing", "not a key"])("wrong key %j", async (apiKey) => {
    // One that is empty is refused before it is sent.
    const list = async () => new Nullspace({ url: server.url, apiKey }).machines.list();
    await expect(list()).rejects.toBeInstanceOf(AuthError);
  });

  test.each([
    { vcpus: 33 },
    { memoryMb: 64 },
    { memoryMb: 1_000_000 },
    { diskMb: 100 },
    { diskMb: 1_000_000 },
    { timeoutSeconds: 10_000_000 },
    { cwd: "not/absolute" },
    { envs: { "NOT=A NAME": "x" } },
  ])("wrong value %j", async (options) => {
    await expect(server.client.machines.create(options)).rejects.toBeInstanceOf(
      InvalidArgumentError,
    );
  });

  test("none of it left anything", async () => {
    expect((await server.client.machines.list()).items).toEqual([]);
    await expectNothingLeft(server.home);
  });
});

describe("a server that cannot start", () => {
  test("a port in use", async () => {
    const home = await linkHome(inject("preparedHome"));
    const blocker = createServer().listen(0, "127.0.0.1");
    await once(blocker, "listening");
    const address = blocker.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const { code, log } = await failToStart({ home, args: ["--port", String(port)] });
    blocker.close();
    expect(code).not.toBe(0);
    expect(log).toContain(String(port));
    expect(log).toMatch(/--port/);
    await removeHome(home);
  });

  test("a home that another server uses", async () => {
    const home = await linkHome(inject("preparedHome"));
    {
      await using server = await startServer({ home });
      const { code, log } = await failToStart({ home });
      expect(code).not.toBe(0);
      expect(log).toMatch(new RegExp(`${server.pid}|in use|another server`));
    }
    await removeHome(home);
  });

  test("no QEMU", async () => {
    const home = await linkHome(inject("preparedHome"));
    const { code, log } = await failToStart({ home, env: { PATH: "/nonexistent" } });
    expect(code).not.toBe(0);
    expect(log).toMatch(/apt-get install .*qemu-system-x86/);
    await removeHome(home);
  });

  test("no root", async () => {
    const home = await mkdtemp(join(tmpdir(), "nullspace-noroot-"));
    const before = process.getuid?.();
    expect(before, "these tests run as root").toBe(0);
    const { code, log } = runAsNobody(home);
    expect(code).not.toBe(0);
    expect(log).toMatch(/root/);
    await removeHome(home);
  });
});

function runAsNobody(home: string): { code: number; log: string } {
  try {
    execFileSync(
      "setpriv",
      [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        process.execPath,
        SERVER_BIN,
        "server",
        "--home",
        home,
      ],
      { stdio: "pipe", timeout: 60_000 },
    );
    return { code: 0, log: "" };
  } catch (error) {
    return {
      code: Number(Reflect.get(Object(error), "status")),
      log: String(Reflect.get(Object(error), "stderr")),
    };
  }
}

/** Flips one bit in the middle of a file. */
async function corrupt(path: string): Promise<void> {
  await chmod(path, 0o644);
  await using file = await open(path, "r+");
  const { size } = await file.stat();
  const at = Math.floor(size / 2);
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  await file.write(Buffer.from([byte.readUInt8(0) ^ 1]), 0, 1, at);
}

describe("damage", () => {
  test.each([
    ["images", "initrd"],
    ["images", "agent.squashfs"],
    ["snapshots", "memory"],
    ["snapshots", "devices"],
  ])("a flipped byte in %s/*/%s is found before a guest runs on it", async (folder, file) => {
    const home = await linkHome(inject("preparedHome"), "copy");
    const [id] = await readdir(join(home, folder));
    await corrupt(join(home, folder, id ?? "", file));
    // What only a boot reads is read when the template is captured again.
    if (file === "initrd") await rm(join(home, "snapshots"), { recursive: true });
    {
      await using server = await startServer({ home });
      const error = server.client.machines.create();
      await expect(error).rejects.toMatchObject({ reason: "IMAGE_CORRUPTED" });
      await expect(error).rejects.toThrow(file);
      expect((await server.client.machines.list({ state: ["running"] })).items).toEqual([]);
      await expectNothingLeft(home);
    }
    await removeHome(home);
  });
});

/** A home on a disk of its own, as small as it says. Images and templates lie elsewhere. */
async function homeOnSmallDisk(megabytes: number): Promise<{ home: string } & AsyncDisposable> {
  const scratch = await mkdtemp(join(tmpdir(), "nullspace-full-"));
  await using opened = new AsyncDisposableStack();
  opened.defer(() => rm(scratch, { recursive: true }));
  const image = join(scratch, "disk.img");
  const home = join(scratch, "home");
  await mkdir(home);
  {
    await using file = await open(image, "w");
    await file.truncate(megabytes << 20);
  }
  execFileSync("mkfs.ext4", ["-q", image]);
  execFileSync("mount", ["-o", "loop", image, home]);
  opened.defer(() => void execFileSync("umount", [home]));
  const prepared = inject("preparedHome");
  await symlink(join(prepared, "images"), join(home, "images"));
  await mkdir(join(home, "snapshots"));
  for (const name of await readdir(join(prepared, "snapshots"))) {
    await symlink(join(prepared, "snapshots", name), join(home, "snapshots", name));
  }
  const owner = opened.move();
  return { home, [Symbol.asyncDispose]: () => owner.disposeAsync() };
}

/** Takes all the space that a home's disk has left. */
function fillDisk(home: string): void {
  const fill = (block: string) =>
    `dd if=/dev/zero of=${home}/filler bs=${block} oflag=append conv=notrunc 2>/dev/null`;
  execFileSync("sh", ["-c", `${fill("64k")}; ${fill("4k")}; ${fill("512")}; sync ${home}/filler`]);
}

describe("a full disk", () => {
  test("create fails, says so, and leaves nothing", async () => {
    await using disk = await homeOnSmallDisk(64);
    const { home } = disk;
    await using server = await startServer({ home });
    const { machines } = server.client;
    await (await machines.create()).kill();
    fillDisk(home);
    const error = machines.create();
    await expect(error).rejects.toBeInstanceOf(ResourceExhaustedError);
    await expect(error).rejects.toMatchObject({ reason: "DISK_FULL" });
    await truncate(join(home, "filler"), 0);
    expect((await leftovers(home)).directories).toEqual([]);
    await (await machines.create()).kill();
  });

  test("kill and delete make room, though not even the server's database has any", async () => {
    await using disk = await homeOnSmallDisk(256);
    const { home } = disk;
    await using server = await startServer({ home });
    const { machines, snapshots, keys } = server.client;
    const grow = "head -c 16000000 /dev/urandom | tee /dev/shm/big > /workspace/big; sync";
    const running = await machines.create({ timeoutSeconds: 0 });
    await running.commands.run(grow);
    const snapshot = await running.createSnapshot();
    await running.commands.run(grow);
    const paused = await machines.create({ timeoutSeconds: 0 });
    await paused.commands.run(grow);
    await paused.pause();
    /** Until the database cannot grow by one more row. */
    const fill = async () => {
      for (;;) {
        fillDisk(home);
        const outcome = await keys.create("one more").catch((error: unknown) => error);
        if (outcome instanceof ResourceExhaustedError) return outcome.reason;
      }
    };
    expect(await fill()).toBe("DISK_FULL");
    await paused.kill();
    expect((await machines.getInfo(paused.id)).state).toBe("killed");
    expect(await fill()).toBe("DISK_FULL");
    await snapshots.delete(snapshot.id);
    expect((await snapshots.list()).items).toEqual([]);
    expect(await fill()).toBe("DISK_FULL");
    await running.kill();
    expect((await machines.getInfo(running.id)).state).toBe("killed");
    const { processes, directories, cgroups } = await leftovers(home, [running.id, paused.id]);
    expect({ processes, directories, cgroups }).toEqual({
      processes: [],
      directories: [],
      cgroups: [],
    });
    // What they had is enough for another one.
    await (await machines.create()).kill();
  });
});
