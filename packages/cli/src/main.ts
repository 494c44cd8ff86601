#!/usr/bin/env node
import { enableCompileCache } from "node:module";
import { handOverToServer } from "./server-program.js";

enableCompileCache();
const argv = process.argv.slice(2);
if (argv[0] === "server") {
  // Before anything else is loaded: this process becomes the server.
  handOverToServer(argv.slice(1));
} else {
  const { runProgram } = await import("./program.js");
  process.exitCode = await runProgram(argv);
}
