import { ErrorReason, MachineState } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { describe, expect, test } from "vitest";
import { hasBrowser, useMachinePage } from "../../testing/machine-page.js";

describe.skipIf(!hasBrowser)("a machine's terminal in a browser", () => {
  const at = useMachinePage();
  const screen = () => at().page.locator(".xterm-rows");
  const connected = () => at().page.getByText("Connected", { exact: true });

  test("starts a session of the screen's size and types into it", async () => {
    const { page, server } = at();
    await connected().waitFor();
    await page.keyboard.type("echo hello\r");
    await screen().getByText("echo hello").waitFor();
    const { size } = server.ptys.find("pty_1");
    expect(size.cols).toBeGreaterThan(80);
    await page.setViewportSize({ width: 700, height: 700 });
    await expect.poll(() => server.ptys.find("pty_1").size.cols).toBeLessThan(size.cols);
    expect(server.ptys.connects.every(({ answersQueries }) => answersQueries)).toBe(true);
    expect(server.ptys.list().sessions).toHaveLength(1);
  });

  test("finds its session again after a reload, and goes on after the connection was lost", async () => {
    const { page, server } = at();
    await connected().waitFor();
    server.ptys.write("pty_1", "before ");
    await screen().getByText("before").waitFor();
    await page.reload();
    await screen().getByText("<screen before").waitFor();
    expect(server.ptys.list().sessions).toHaveLength(1);
    server.dropConnections();
    server.ptys.write("pty_1", "after");
    await screen().getByText("after").waitFor();
    await page.keyboard.type("typed");
    await screen().getByText("typed").waitFor();
  });

  test("tells the end, and begins anew", async () => {
    const { page, server } = at();
    await connected().waitFor();
    server.ptys.end("pty_1", 3);
    await page.getByText("The program ended with exit code 3.").waitFor();
    await page.getByRole("button", { name: "New session" }).click();
    await connected().waitFor();
    await page.keyboard.type("second");
    await screen().getByText("second").waitFor();
    expect(server.ptys.find("pty_2").output.toString()).toBe("second");
    await page.getByRole("button", { name: "End" }).click();
    await page.getByText("The program was ended by SIGHUP.").waitFor();
  });

  test("shows whichever session is chosen", async () => {
    const { page, server } = at();
    await connected().waitFor();
    await page.getByRole("button", { name: "New session" }).click();
    await expect.poll(() => server.ptys.list().sessions.length).toBe(2);
    server.ptys.write("pty_1", "the first");
    await page.getByLabel("Session").selectOption("pty_1");
    await screen().getByText("<screen the first").waitFor();
  });

  test("lets go of the keyboard", async () => {
    const { page, server } = at();
    await connected().waitFor();
    await page.keyboard.press("Control+Shift+Enter");
    const button = page.getByRole("button", { name: "New session" });
    expect(await button.evaluate((element) => element === document.activeElement)).toBe(true);
    expect(server.ptys.inputs).toBe(0);
  });

  test("waits while the machine is paused, and leads to the one that goes on", async () => {
    const { page } = at();
    await connected().waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("The machine is paused.").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByRole("link", { name: "m0002" }).click();
    await page.getByRole("heading", { name: "m0002" }).waitFor();
    await connected().waitFor();
    expect(at().machine.state).toBe(MachineState.PAUSED);
  });

  test("says when what was typed did not arrive, and goes on", async () => {
    const { page, server } = at();
    await connected().waitFor();
    server.onCall = (method) => {
      if (method !== "SendInput") return;
      throw new Fault(ErrorReason.SERVER_NOT_READY, "the server is starting");
    };
    await page.keyboard.type("x");
    await page.getByText("What you typed did not arrive. The server is starting").waitFor();
    server.onCall = undefined;
    await page.keyboard.type("y");
    await screen().getByText("y").waitFor();
    await connected().waitFor();
    expect(server.ptys.find("pty_1").output.toString()).toBe("y");
  });

  test("says why there is none", async () => {
    const { page, server } = at();
    await connected().waitFor();
    server.onCall = (method) => {
      if (method !== "Create") return;
      throw new Fault(ErrorReason.PROCESS_START_FAILED, "there is no user named user", {
        remedy: "Make the user.",
      });
    };
    await page.getByRole("button", { name: "New session" }).click();
    await page.getByText("There is no user named user. Make the user.").waitFor();
    expect(await page.getByText("Not shown").count()).toBe(1);
  });
});
