import { getHeapSpaceStatistics } from "node:v8";

// Loaded into a measured server: answers each message with its memory after a garbage collection.
process.on("message", () => {
  globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  process.send?.({ rss: process.memoryUsage.rss(), ...heap() });
});
// Nobody waits for messages that may never come.
process.channel?.unref();

/** What the heap holds of the program's data, and of what the engine made of its code. */
function heap(): { data: number; code: number } {
  let [data, code] = [0, 0];
  for (const { space_name: name, space_used_size: bytes } of getHeapSpaceStatistics()) {
    if (name.includes("code") || name.includes("trusted")) code += bytes;
    else data += bytes;
  }
  return { data, code };
}
