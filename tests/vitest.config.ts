import { defineConfig } from "vitest/config";

// One file at a time: under software emulation two machines fill a small host.
// The limits are generous because they only end what hangs; nothing measures time here.
export default defineConfig({
  test: {
    fileParallelism: false,
    globalSetup: ["@nullspace/log-scan/global-setup", "./support/prepared-home.ts"],
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
});
