import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { chooseAcceleration } from "./accelerator.js";
import { chooseCpuModel } from "./cpu-model.js";

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "accelerator-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

test("a kernel that never speaks means emulation, and the reason says so", async () => {
  const directory = await scratch();
  await writeFile(join(directory, "vmlinuz"), "no kernel");
  const options = {
    program: ["qemu-system-x86_64"],
    user: undefined,
    kernel: "vmlinuz",
    directory,
    cacheFile: join(directory, "accelerator.json"),
    fingerprint: "test",
  };
  const choice = await chooseAcceleration(options);
  expect(choice.accelerator).toBe("tcg");
  expect(choice.reason).toMatch(/^Software emulation, because /);

  expect(await readdir(directory)).toContain("accelerator.json");
  const again = await chooseAcceleration({ ...options, program: ["/nonexistent"] });
  expect(again).toEqual(choice);
});

test("a damaged or foreign answer is not believed", async () => {
  const directory = await scratch();
  const cacheFile = join(directory, "accelerator.json");
  await writeFile(cacheFile, "{");
  const options = { program: ["/nonexistent"], user: undefined, kernel: "k", directory, cacheFile };
  expect((await chooseAcceleration({ ...options, fingerprint: "a" })).accelerator).toBe("tcg");
  const first = await readFile(cacheFile, "utf8");
  await chooseAcceleration({ ...options, fingerprint: "b" });
  expect(await readFile(cacheFile, "utf8")).not.toBe(first);
});

function definition(name: string, ...unavailableFeatures: string[]) {
  return { name, unavailableFeatures };
}

test("the CPU model is the richest that the host can be in full, never the host itself", () => {
  const definitions = [
    definition("host"),
    definition("max"),
    definition("Nehalem"),
    definition("EPYC-Rome", "clwb"),
    definition("EPYC"),
  ];
  expect(chooseCpuModel(definitions)).toBe("EPYC");
  expect(chooseCpuModel([definition("host")])).toBe("qemu64");
});
