/**
 * The whole life of a machine, each step checked and timed.
 *
 *   export NULLSPACE_API_URL=http://127.0.0.1:7070 NULLSPACE_API_KEY=ns_...
 *   node examples/demo.ts
 *
 * Ends with exit code 0 only if every step did what it should.
 */
import { styleText } from "node:util";
import { Machine } from "@nullspace/sdk";

/** What a step must find for it to be right. */
function expect(condition: boolean, expectation: string): void {
  if (!condition) throw new Error(`expected ${expectation}`);
}

interface Line {
  name: string;
  milliseconds: number;
  outcome: string;
}

const lines: Line[] = [];

/** Runs a step, remembers its time and prints its line. */
async function step(name: string, run: () => Promise<string>): Promise<void> {
  const started = performance.now();
  const took = () => performance.now() - started;
  try {
    const outcome = await run();
    print("green", "✓", { name, milliseconds: took(), outcome });
  } catch (error) {
    const outcome = error instanceof Error ? error.message : String(error);
    print("red", "✗", { name, milliseconds: took(), outcome });
    throw error;
  }
}

function print(color: "green" | "red", mark: string, line: Line): void {
  lines.push(line);
  const time = `${line.milliseconds.toFixed(0)} ms`.padStart(9);
  const outcome = styleText("dim", line.outcome.replaceAll("\n", " "));
  process.stdout.write(`${styleText(color, mark)} ${line.name.padEnd(22)}${time}  ${outcome}\n`);
}

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
process.once("SIGTERM", () => interrupted.abort());
const { signal } = interrupted;

const metadata = { demo: crypto.randomUUID() };
let machine: Machine | undefined;

function running(): Machine {
  if (machine === undefined) throw new Error("there is no machine");
  return machine;
}

try {
  // A server captures the template once, when it first starts; machines are made from that.
  await step("template", async () => {
    const { exitCode } = await Machine.runOnce("true", undefined, { metadata, signal });
    expect(exitCode === 0, `exit code 0, not ${exitCode}`);
    return "captured, a first machine has run";
  });

  await step("create", async () => {
    machine = await Machine.create({ template: "base", timeoutSeconds: 300, metadata, signal });
    return machine.id;
  });

  await step("uname -a", async () => {
    const { stdout, exitCode } = await running().commands.run("uname -a", { signal });
    expect(exitCode === 0, `exit code 0, not ${exitCode}`);
    expect(stdout.startsWith("Linux "), `a Linux kernel, not ${JSON.stringify(stdout)}`);
    return stdout.trim();
  });

  await step("python3", async () => {
    const code = "print(sum(n * n for n in range(10)))";
    const { stdout } = await running().commands.run("python3", { args: ["-c", code], signal });
    expect(stdout === "285\n", `285, not ${JSON.stringify(stdout)}`);
    return `${code} = ${stdout.trim()}`;
  });

  const text = `Hello from ${metadata.demo} 👋\n`;
  await step("write a file", async () => {
    const info = await running().files.write("demo/hello.txt", text, { signal });
    const size = new TextEncoder().encode(text).length;
    expect(info.size === size, `${size} bytes, not ${info.size}`);
    return `${info.path}, ${info.size} bytes`;
  });

  await step("read it back", async () => {
    const read = await running().files.read("demo/hello.txt", { signal });
    expect(read === text, `the text that was written, not ${JSON.stringify(read)}`);
    return JSON.stringify(read);
  });

  await step("list", async () => {
    const ids: string[] = [];
    for await (const { id } of Machine.list({ metadata, fields: ["id"], signal })) ids.push(id);
    const { id } = running();
    expect(ids.length === 1 && ids[0] === id, `just ${id}, not ${ids.join(", ") || "none"}`);
    return `found by its label`;
  });

  await step("kill", async () => {
    const { id } = running();
    await running().kill({ signal });
    machine = undefined;
    const { state } = await Machine.getInfo(id, { fields: ["state"], signal });
    expect(state === "killed", `state killed, not ${state}`);
    return "killed, nothing left";
  });
} catch {
  // The failed step has printed its line.
  process.exitCode = 1;
} finally {
  await machine?.kill();
}

const total = lines.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
const verdict =
  process.exitCode === 1 ? styleText("red", "failed") : styleText("green", "all right");
process.stdout.write(
  `  ${"total".padEnd(22)}${`${total.toFixed(0)} ms`.padStart(9)}  ${verdict}\n`,
);
