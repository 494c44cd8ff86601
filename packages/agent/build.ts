// Bundles the agent into files without dependencies, and compiles the native
// programs beside it: together they are what the agent disk of a machine holds.
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { build } from "esbuild";
import manifest from "./package.json" with { type: "json" };

rmSync("dist/bundle", { recursive: true, force: true });
mkdirSync("dist/bundle", { recursive: true });
await build({
  entryPoints: { agent: "src/main.ts" },
  outdir: "dist/bundle",
  outExtension: { ".js": ".mjs" },
  // What is imported when it is needed (the terminal emulator) is read when it is needed.
  splitting: true,
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  define: { "process.env.NULLSPACE_AGENT_VERSION": JSON.stringify(manifest.version) },
  logLevel: "warning",
});

const flags = ["-std=gnu11", "-Os", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-pthread"];
for (const name of ["guest-helper", "file-watcher", "channel-pump"]) {
  execFileSync("gcc", [...flags, `native/${name}.c`, "-o", `dist/bundle/${name}`], {
    stdio: "inherit",
  });
}
