import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    // package.json points to dist; tests run what is in src.
    alias: {
      "#transport": fileURLToPath(new URL("src/transport/node.ts", import.meta.url)),
      "#transfers": fileURLToPath(new URL("src/transfer/node.ts", import.meta.url)),
    },
  },
  test: { include: ["src/**/*.test.ts"], testTimeout: 20_000 },
});
