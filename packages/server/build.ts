// Compiles what is loaded into QEMU, what copies its memory and what connects its network card; see the
// files in native/.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";

mkdirSync("dist/native", { recursive: true });
const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-s"];

function compile(sources: readonly string[], program: string, ...how: string[]): void {
  const files = sources.map((source) => `native/${source}`);
  const args = [...flags, ...how, ...files, "-o", `dist/native/${program}`];
  execFileSync("gcc", args, { stdio: "inherit" });
}

compile(["qemu-memory.c", "qemu-confinement.c"], "qemu-memory.so", "-shared", "-fPIC");
compile(["page-copier.c"], "page-copier", "-static");
compile(["tap-attacher.c"], "tap-attacher", "-static");
