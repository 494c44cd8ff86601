import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { globalSetup: "@nullspace/log-scan/global-setup" },
});
