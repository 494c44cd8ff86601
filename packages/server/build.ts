// Compiles what is loaded into QEMU; see native/qemu-memory.c.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";

mkdirSync("dist/native", { recursive: true });
const flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-s"];
execFileSync("gcc", [...flags, "native/qemu-memory.c", "-o", "dist/native/qemu-memory.so"], {
  stdio: "inherit",
});
