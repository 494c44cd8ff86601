import { describe, expect, it } from "vitest";
import { openProgress } from "./progress.ts";

function recorder(isTTY: boolean): { isTTY: boolean; columns: number; text: string } & {
  write(text: string): void;
} {
  return {
    isTTY,
    columns: 40,
    text: "",
    write(text: string) {
      this.text += text;
    },
  };
}

describe("openProgress", () => {
  it("writes plain lines where nobody watches", () => {
    const stream = recorder(false);
    let clock = 0;
    const progress = openProgress(stream, () => clock);
    const step = progress.begin("kernel");
    step.detail("never seen");
    clock = 1500;
    step.end();
    progress.begin("disk").fail();
    progress.begin("rest").end("unchanged");
    expect(stream.text).toBe(
      "  … kernel\n  ✓ kernel (1.5 s)\n  … disk\n  ✗ disk (failed after 0.0 s)\n  … rest\n  ✓ rest (unchanged)\n",
    );
  });

  it("draws one line on a terminal, never wider than it", () => {
    const stream = recorder(true);
    const step = openProgress(stream, () => 0).begin("k".repeat(100));
    expect(stream.text).toHaveLength("\r\x1b[K".length + 39);
    step.end();
    expect(stream.text.endsWith("(0.0 s)\n")).toBe(true);
  });
});
