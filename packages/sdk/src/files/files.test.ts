import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { array, assert, asyncProperty, integer, uint8Array } from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Machine } from "../machine.js";
import { Nullspace } from "../nullspace.js";
import { FakeServer } from "../testing/fake-server.js";
import { blocksOf } from "./content.js";

let server: FakeServer;
let client: Nullspace;
let machine: Machine;
beforeAll(async () => {
  server = await FakeServer.start();
  client = new Nullspace(server);
  machine = await client.machines.create();
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  server.onCall = undefined;
  server.calls.length = 0;
  server.files.partSizes.length = 0;
});

describe("write and read", () => {
  test("text, with parents made", async () => {
    const info = await machine.files.write("a/b/hello.txt", "Grüße\n");
    expect(info).toMatchObject({
      name: "hello.txt",
      path: "/a/b/hello.txt",
      type: "file",
      size: 8,
    });
    expect(await machine.files.read("a/b/hello.txt")).toBe("Grüße\n");
    expect(server.calls).toEqual(["Write", "Read"]);
  });

  test("every kind of content", async () => {
    const bytes = new Uint8Array([0, 255, 10]);
    const pieces = async function* () {
      yield "\0";
      yield bytes.subarray(1);
    };
    const contents = [bytes, bytes.buffer, new Blob([bytes]), new Blob([bytes]).stream(), pieces()];
    const [first, second] = [new Uint8Array([0, 255, 10]), new Uint8Array([0, 255, 10])];
    for (const content of contents) {
      await machine.files.write("kind", content);
      expect(await machine.files.read("kind", { format: "bytes" })).toEqual(first);
    }
    expect(first).toEqual(second);
  });

  test("an empty file", async () => {
    await machine.files.write("empty", "");
    expect(await machine.files.read("empty")).toBe("");
    expect(await machine.files.read("empty", { format: "bytes" })).toHaveLength(0);
    const stream = await machine.files.read("empty", { format: "stream" });
    expect(await stream.getReader().read()).toMatchObject({ done: true });
  });

  test("a byte order mark survives", async () => {
    await machine.files.write("bom", "\uFEFFx");
    expect(await machine.files.read("bom")).toBe("\uFEFFx");
  });

  test("bytes that are not UTF-8 are an error as text, and say the remedy", async () => {
    await machine.files.write("latin1", new Uint8Array([0xe4]));
    await expect(machine.files.read("latin1")).rejects.toMatchObject({
      name: "InvalidArgumentError",
      reason: "INVALID_UTF8",
      remedy: 'Read it with format: "bytes". (An offset or length can also tear a character.)',
    });
  });

  test("offset and length", async () => {
    await machine.files.write("digits", "0123456789");
    expect(await machine.files.read("digits", { offset: 3, length: 4 })).toBe("3456");
    expect(await machine.files.read("digits", { offset: 8 })).toBe("89");
    expect(await machine.files.read("digits", { length: 0 })).toBe("");
    await expect(machine.files.read("digits", { offset: -1 })).rejects.toMatchObject({
      name: "InvalidArgumentError",
    });
  });

  test("a missing file is an error of the call, in every format", async () => {
    const calls = [
      machine.files.read("none"),
      machine.files.read("none", { format: "bytes" }),
      machine.files.read("none", { format: "stream" }),
    ];
    for (const call of calls) {
      await expect(call).rejects.toMatchObject({
        name: "NotFoundError",
        reason: "FILE_NOT_FOUND",
        details: { path: "none" },
      });
    }
  });

  test("a stream that is left cancels the read", async () => {
    await machine.files.write("big", randomBytes(8 * 1024 * 1024));
    const before = server.files.cancelledReads;
    const stream = await machine.files.read("big", { format: "stream" });
    const reader = stream.getReader();
    expect((await reader.read()).value?.length).toBeGreaterThan(0);
    await reader.cancel();
    await expect.poll(() => server.files.cancelledReads).toBe(before + 1);
  });
});

describe("uploads", () => {
  test("a large file goes in parts and comes back as it was", async () => {
    const content = randomBytes(5 * 1024 * 1024 + 12_345);
    await writeFile(join(server.files.root, "source"), content);
    const stream = createReadStream(join(server.files.root, "source"));
    const info = await machine.files.write("large.bin", stream);
    expect(info.size).toBe(content.length);
    expect(server.files.partSizes).toHaveLength(11);
    expect(Math.max(...server.files.partSizes)).toBe(512 * 1024);
    expect(server.files.uploads.size).toBe(0);
    expect(
      Buffer.compare(await machine.files.read("large.bin", { format: "bytes" }), content),
    ).toBe(0);
  });

  test("exactly 1 MiB is one call, one byte more is an upload", async () => {
    await machine.files.write("edge", new Uint8Array(1024 * 1024));
    expect(server.calls).toEqual(["Write"]);
    server.calls.length = 0;
    await machine.files.write("edge", new Uint8Array(1024 * 1024 + 1));
    expect(server.calls[0]).toBe("BeginUpload");
    expect(server.calls.at(-1)).toBe("CommitUpload");
    expect((await machine.files.info("edge")).size).toBe(1024 * 1024 + 1);
  });

  test("a part that gets lost is sent again", async () => {
    let failures = 2;
    server.onCall = (method) => {
      if (method === "UploadPart" && failures-- > 0) {
        throw new Fault(ErrorReason.AGENT_UNREACHABLE, "a moment, please");
      }
    };
    const content = randomBytes(3 * 1024 * 1024);
    await machine.files.write("retried", content);
    expect(Buffer.compare(await server.files.contentOf("retried"), content)).toBe(0);
  });

  test("a failure drops the upload, leaves the old file and stops the source", async () => {
    await machine.files.write("kept", "old");
    let parts = 0;
    server.onCall = (method) => {
      if (method === "UploadPart" && ++parts === 3) {
        throw new Fault(ErrorReason.GUEST_DISK_FULL, "the disk is full");
      }
    };
    let stopped = false;
    const endless = async function* () {
      try {
        for (;;) yield new Uint8Array(100_000);
      } finally {
        stopped = true;
      }
    };
    await expect(machine.files.write("kept", endless())).rejects.toMatchObject({
      name: "ResourceExhaustedError",
      reason: "GUEST_DISK_FULL",
    });
    expect(stopped).toBe(true);
    expect(server.files.uploads.size).toBe(0);
    expect(server.calls.at(-1)).toBe("AbortUpload");
    expect(await machine.files.read("kept")).toBe("old");
  });

  test("a source that fails is the error, and its upload is dropped", async () => {
    const bug = new Error("cannot read on");
    const broken = async function* () {
      yield new Uint8Array(2 * 1024 * 1024);
      throw bug;
    };
    await expect(machine.files.write("broken", broken())).rejects.toBe(bug);
    expect(server.files.uploads.size).toBe(0);
    expect(await machine.files.exists("broken")).toBe(false);
  });

  test("a signal cancels it", async () => {
    const controller = new AbortController();
    server.onCall = (method) => {
      if (method === "UploadPart") controller.abort();
    };
    const call = machine.files.write("cancelled", new Uint8Array(4_000_000), controller);
    await expect(call).rejects.toMatchObject({ name: "CancelledError" });
    expect(server.files.uploads.size).toBe(0);
  });

  test("blocks hold the bytes in order, whatever the pieces were", async () => {
    await assert(
      asyncProperty(
        array(uint8Array({ maxLength: 40 })),
        integer({ min: 1, max: 17 }),
        async (pieces, size) => {
          const source = async function* () {
            yield* pieces;
          };
          const blocks: Uint8Array[] = [];
          for await (const block of blocksOf(source(), size)) blocks.push(block);
          expect(Buffer.concat(blocks).equals(Buffer.concat(pieces))).toBe(true);
          expect(blocks.slice(0, -1).every((block) => block.length === size)).toBe(true);
          expect(blocks.every((block) => block.length > 0)).toBe(true);
        },
      ),
    );
  });
});

describe("folders and names", () => {
  test("make, list, rename, remove", async () => {
    await machine.files.makeDir("dir/sub");
    await machine.files.write("dir/b", "b");
    await machine.files.write("dir/a", "a");
    const entries = await machine.files.list("dir");
    expect(entries.map(({ name, type }) => [name, type])).toEqual([
      ["a", "file"],
      ["b", "file"],
      ["sub", "directory"],
    ]);
    expect(await machine.files.rename("dir/a", "dir/c")).toMatchObject({ path: "/dir/c" });
    expect(await machine.files.exists("dir/a")).toBe(false);
    expect(await machine.files.exists("dir/c")).toBe(true);
    await expect(machine.files.remove("dir")).rejects.toMatchObject({
      name: "ConflictError",
      reason: "DIRECTORY_NOT_EMPTY",
    });
    await machine.files.remove("dir", { recursive: true });
    expect(await machine.files.exists("dir")).toBe(false);
    await expect(machine.files.remove("dir")).rejects.toMatchObject({ reason: "FILE_NOT_FOUND" });
    await expect(machine.files.list("dir")).rejects.toMatchObject({ reason: "FILE_NOT_FOUND" });
  });

  test("exists does not hide other failures", async () => {
    server.onCall = () => {
      throw new Fault(ErrorReason.FILE_PERMISSION_DENIED, "not yours");
    };
    await expect(machine.files.exists("/root/x")).rejects.toMatchObject({
      name: "PermissionError",
    });
  });
});

test("URLs for one file lead to the server that the client talks to", async () => {
  const download = await machine.files.downloadUrl("a b.txt", { expiresInSeconds: 60 });
  expect(download).toMatchObject({ method: "GET", headers: {} });
  expect(download.expiresAt.getTime()).toBeGreaterThan(Date.now());
  const asked = new URL(download.url);
  expect([asked.origin, asked.searchParams.get("path")]).toEqual([server.url, "a b.txt"]);
  expect(Object.fromEntries(asked.searchParams)).toMatchObject({
    direction: "DOWNLOAD",
    seconds: "60",
  });
  const upload = await machine.files.uploadUrl("x", { user: "root" });
  expect(upload.method).toBe("PUT");
  expect(Object.fromEntries(new URL(upload.url).searchParams)).toMatchObject({
    direction: "UPLOAD",
    user: "root",
    seconds: "0",
  });
  expect(await machine.uploadUrl("y")).toContain("path=y");
  expect(await machine.downloadUrl("z")).toContain("path=z");
});
