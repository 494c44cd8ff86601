#!/usr/bin/env node
import { enableCompileCache } from "node:module";

enableCompileCache();
const { runProgram } = await import("./main.js");
process.exitCode = await runProgram(process.argv.slice(2));
