import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { SnapshotManifestSchema } from "@nullspace/proto/host";
import { beforeEach, expect, test } from "vitest";
import { HostHome } from "./home.js";
import { ImageStore } from "./image-store.js";
import { type Needs, SnapshotCollector } from "./snapshot-collector.js";
import { SnapshotStore } from "./snapshot-store.js";
import { VerifiedFiles } from "./verified-files.js";

const FILES = ["devices", "disk.qcow2", "memory.map", "memory.pages"];

let home: HostHome;
let snapshots: SnapshotStore;
/** Of the machines that there are. */
let machines: Needs[];
let collector: SnapshotCollector;

beforeEach(async () => {
  const path = await mkdtemp(join(tmpdir(), "collector-"));
  home = await HostHome.open(path);
  const files = new VerifiedFiles();
  snapshots = new SnapshotStore(home, files, new ImageStore(home, files));
  machines = [];
  collector = new SnapshotCollector(home, snapshots, () => machines);
  return async () => rm(path, { recursive: true });
});

/** A snapshot that lies over others. */
async function add(id: string, memoryLayers: string[], diskLayers: string[]): Promise<void> {
  await mkdir(home.snapshot(id));
  for (const name of FILES) await writeFile(join(home.snapshot(id), name), "");
  const layers = { memoryLayers: [...memoryLayers, id], diskLayers: [...diskLayers, id] };
  await snapshots.write(create(SnapshotManifestSchema, { format: 1, id, ...layers }), {
    durable: false,
  });
}

/** Files of each snapshot that is left, without its manifest. */
async function left(): Promise<Record<string, string[]>> {
  const names = (await readdir(home.snapshots)).toSorted();
  const files = names.map(async (name) => {
    const all = await readdir(home.snapshot(name));
    return [name, all.filter((file) => FILES.includes(file)).toSorted()] as const;
  });
  return Object.fromEntries(await Promise.all(files));
}

test("what others lie over stays until they are gone, and nothing else", async () => {
  await add("parent", [], []);
  await add("child", ["parent"], ["parent"]);
  await add("other", [], []);
  await collector.delete("parent");
  await collector.delete("other");
  expect(Object.keys(await left())).toEqual(["child", "parent"]);
  await collector.delete("child");
  expect(await left()).toEqual({});
});

test("of a deleted snapshot that only a captured machine goes on over the disk alone is left", async () => {
  await add("first", [], []);
  await add("second", [], ["first"]);
  machines = [{ memoryLayers: [], diskLayers: ["first", "second"] }];
  await collector.delete("first");
  expect(await left()).toEqual({ first: ["disk.qcow2"], second: FILES });
  await collector.delete("second");
  expect(await left()).toEqual({ first: ["disk.qcow2"], second: ["disk.qcow2"] });
  machines = [];
  await collector.collect();
  expect(await left()).toEqual({});
});

test("one that a machine is being started from stays whole, with all that it lies over", async () => {
  await add("parent", [], []);
  await add("child", ["parent"], ["parent"]);
  {
    using _ = collector.pin("child");
    await collector.delete("parent");
    await collector.delete("child");
    expect(await left()).toEqual({ child: FILES, parent: FILES });
  }
  await collector.collect();
  expect(await left()).toEqual({});
});

test("what a machine is being started over stays, though its snapshot is flattened meanwhile", async () => {
  await add("parent", [], []);
  await add("child", ["parent"], ["parent"]);
  await collector.delete("parent");
  const started = await snapshots.find("child");
  if (started === undefined) throw new Error("the snapshot is missing");
  {
    using pin = collector.pin("child");
    pin.keep(started);
    await add("l-child", [], []);
    const flat = { memoryLayers: ["l-child"], diskLayers: ["l-child"] };
    await snapshots.write({ ...started, ...flat }, { durable: false });
    await collector.collect();
    expect(Object.keys(await left())).toEqual(["child", "l-child", "parent"]);
    machines = [started];
  }
  await collector.collect();
  expect(Object.keys(await left())).toEqual(["child", "l-child", "parent"]);
  machines = [];
  await collector.collect();
  expect(Object.keys(await left())).toEqual(["child", "l-child"]);
});
