import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { describe, expect, test } from "vitest";
import { hasBrowser, useMachinePage } from "../../testing/machine-page.js";

describe.skipIf(!hasBrowser)("a machine's files in a browser", () => {
  const at = useMachinePage();
  /** Says yes to the next question, which is to hold this text. */
  const answer = (text: string) =>
    at().page.once("dialog", (dialog) => {
      expect(dialog.message()).toContain(text);
      void dialog.accept();
    });

  test("makes, edits, renames, moves and removes", async () => {
    const { page } = at();
    await at().tab("Files");
    await page.getByText("This folder is empty.").waitFor();
    await page.getByRole("button", { name: "New folder" }).click();
    await page.getByLabel("Name", { exact: true }).fill("notes");
    await page.keyboard.press("Enter");
    await page.getByRole("link", { name: "notes/" }).click();
    await page.getByRole("button", { name: "New file" }).click();
    await page.getByLabel("Name", { exact: true }).fill("to do.md");
    await page.getByRole("button", { name: "Make" }).click();
    const text = page.getByLabel("Content of to do.md");
    await text.fill("one\ntwo\n");
    await page.keyboard.press("Control+s");
    await page.getByText("Saved", { exact: true }).waitFor();
    expect(await at().textOf("/workspace/notes/to do.md")).toBe("one\ntwo\n");

    await page.goBack();
    await at().row("to do.md").getByRole("button", { name: "Rename" }).click();
    await page.getByLabel("Name", { exact: true }).fill("/workspace/done.md");
    await page.keyboard.press("Enter");
    await page.getByText("This folder is empty.").waitFor();
    await page.getByRole("link", { name: "workspace", exact: true }).click();
    await at().row("done.md").waitFor();
    answer("Remove notes and all that is in it?");
    await at().row("notes").getByRole("button", { name: "Remove" }).click();
    await at().row("notes").waitFor({ state: "detached" });
    expect(await at().textOf("/workspace/done.md")).toBe("one\ntwo\n");
  });

  test("replaces nothing unasked", async () => {
    const { page } = at();
    await at().put("/workspace/a.txt", "old\r\n");
    await at().put("/workspace/b.txt", "b");
    await at().tab("Files");
    await at().row("b.txt").getByRole("button", { name: "Rename" }).click();
    await page.getByLabel("Name", { exact: true }).fill("a.txt");
    await page.keyboard.press("Enter");
    await page.getByText("There is already something at /workspace/a.txt.").waitFor();
    await page.getByRole("button", { name: "Cancel" }).click();

    await page.getByRole("link", { name: "a.txt" }).click();
    await page.getByLabel("Content of a.txt").fill("mine\n");
    const now = Date.now();
    await expect.poll(() => Date.now()).toBeGreaterThan(now + 5);
    await at().put("/workspace/a.txt", "theirs");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("The file was changed in the machine since you opened it.").waitFor();
    expect(await at().textOf("/workspace/a.txt")).toBe("theirs");
    page.once("dialog", (dialog) => void dialog.dismiss());
    await page.goBack();
    expect(await page.getByLabel("Content of a.txt").inputValue()).toBe("mine\n");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved", { exact: true }).waitFor();
    // Its lines end as they did.
    expect(await at().textOf("/workspace/a.txt")).toBe("mine\r\n");
  });

  test("uploads, also by dropping, and downloads the same bytes", async () => {
    const { page, server } = at();
    await using folder = await temporaryFolder();
    const large = Buffer.alloc(3_000_000, "0123456789");
    await writeFile(join(folder.path, "large.bin"), large);
    await writeFile(join(folder.path, "small.txt"), "small");
    await at().tab("Files");
    const paths = ["large.bin", "small.txt"].map((name) => join(folder.path, name));
    await page.getByLabel("Files to upload").setInputFiles(paths);
    await page.getByText("Uploaded, 2.9 MiB").waitFor();
    await at().row("small.txt").waitFor();
    expect(await server.files.contentOf("/workspace/large.bin")).toEqual(large);

    await page.locator(".drop").evaluate((zone) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["dropped"], "dropped.txt"));
      for (const type of ["dragenter", "dragover", "drop"]) {
        zone.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true }));
      }
    });
    await at().row("dropped.txt").waitFor();
    expect(await at().textOf("/workspace/dropped.txt")).toBe("dropped");

    const [download] = await Promise.all([
      page.waitForEvent("download"),
      at().row("large.bin").getByRole("button", { name: "Download" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe("large.bin");
    expect(await readFile(await download.path())).toEqual(large);
    answer("Replace small.txt in /workspace?");
    await page.getByLabel("Files to upload").setInputFiles(paths.slice(1));
    await page.getByText("Uploaded, 5 B").waitFor();
    await page.getByRole("link", { name: "large.bin" }).click();
    await page.getByText("too large to be shown here").waitFor();
  });

  test("goes on with uploads while one looks around, until they are cancelled", async () => {
    const { page, server } = at();
    await at().put("/workspace/a.txt", "a");
    server.onCall = async (method, { signal }) => {
      if (method !== "UploadPart") return;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    await at().tab("Files");
    const file = { name: "b", mimeType: "text/plain", buffer: Buffer.alloc(3_000_000) };
    await page.getByLabel("Files to upload").setInputFiles(file);
    await expect.poll(() => server.files.uploads.size).toBe(1);
    await page.getByRole("link", { name: "a.txt" }).click();
    await page.getByLabel("Content of a.txt").waitFor();
    await page.goBack();
    page.once("dialog", (dialog) => void dialog.dismiss());
    await at().tab("Terminal");
    await page.getByRole("progressbar", { name: "Upload of b" }).waitFor();
    await page.getByRole("button", { name: "Cancel the upload of b" }).click();
    await page.getByText("Cancelled").waitFor();
    await expect.poll(() => server.files.uploads.size).toBe(0);
  });

  test("says what is not there, and why an upload failed", async () => {
    const { page, server } = at();
    await at().put("/workspace/kept.txt", "kept");
    server.onCall = (method) => {
      if (method !== "Write") return;
      throw new Fault(ErrorReason.DISK_FULL, "the disk is full", { remedy: "Remove something." });
    };
    await at().tab("Files");
    const file = { name: "a", mimeType: "text/plain", buffer: Buffer.from("a") };
    await page.getByLabel("Files to upload").setInputFiles(file);
    await page.getByText("The disk is full. Remove something.").waitFor();
    await page.goto(`${server.url}/console/machines/${at().machine.id}/files?file=/workspace`);
    await page.getByRole("row", { name: "kept.txt" }).waitFor();
    await page.goto(`${server.url}/console/machines/${at().machine.id}/files?folder=/none`);
    await page.getByText("Nothing is at /none").waitFor();
    expect(await page.getByRole("table").count()).toBe(0);
  });
});

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), "nullspace-uploads-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
