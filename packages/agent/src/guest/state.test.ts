import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeptAdoption } from "@nullspace/proto/adoption";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GuestHelper } from "../helper/guest-helper.js";
import { helperProgram } from "../helper/program.js";
import { StateStore } from "./state.js";

const KEY = Buffer.alloc(32, 7);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nullspace-state-"));
});
afterEach(() => rm(folder, { recursive: true }));

test.each<[string, Partial<KeptAdoption>[]]>([
  ["the first", [{}]],
  ["one with a folder of its own", [{ cwd: "/srv", envs: { A: "1" } }]],
  ["one that keeps a folder", [{ cwd: "/srv" }, {}]],
  ["one that keeps an environment", [{ envs: { A: "1" } }, { keepEnvironment: true }]],
  [
    "one that adds to an environment",
    [{ envs: { A: "1" } }, { keepEnvironment: true, envs: { B: "2" } }],
  ],
  [
    "one that replaces all of an environment",
    [{ envs: { A: "1" } }, { keepEnvironment: true, envs: { A: "2" } }],
  ],
  ["one that leaves an environment", [{ envs: { A: "1" } }, { envs: { B: "2" } }]],
  ["the third", [{ cwd: "/srv", envs: { A: "1" } }, { keepEnvironment: true }, {}]],
])("an agent that is restarted knows the machine after an adoption: %s", async (_, adoptions) => {
  await using helper = await GuestHelper.open({
    program: helperProgram(),
    stateFolder: folder,
    root: folder,
    test: true,
  });
  const state = new StateStore(folder);
  for (const [index, adoption] of adoptions.entries()) {
    const kept = JSON.stringify({
      machineId: `m${index}`,
      hostname: "host",
      envs: {},
      cwd: "",
      generation: String(index),
      keepEnvironment: false,
      ...adoption,
    });
    // As the helper does when the host adopts.
    await writeFile(join(folder, "machine.json"), kept);
    await state.apply(helper, kept, KEY);
  }
  expect(new StateStore(folder).machine).toEqual(state.machine);
  expect(state.machine.machineId).toBe(`m${adoptions.length - 1}`);
});
