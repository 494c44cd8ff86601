import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const server = process.env.NULLSPACE_API_URL ?? "http://127.0.0.1:7070";

export default defineConfig({
  base: "/console/",
  plugins: [react()],
  build: {
    target: "es2023",
    // Everything is a file of its own, so that a strict Content-Security-Policy holds.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/nullspace.v1.": server, "/nullspace.agent.v1.": server, "/v1/": server } },
});
