import { UsageError } from "./usage-error.js";

/** Asks the terminal for something that is not shown while it is typed. */
export async function askSecretly(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  try {
    return await readHidden();
  } finally {
    process.stderr.write("\n");
  }
}

async function readHidden(): Promise<string> {
  const { stdin } = process;
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  let line = "";
  try {
    for await (const chunk of stdin) {
      for (const character of String(chunk)) {
        if (character === "\r" || character === "\n" || character === "\x04") return line.trim();
        if (character === "\x03") throw new UsageError("cancelled");
        line = character === "\x7f" ? line.slice(0, -1) : line + character;
      }
    }
    return line.trim();
  } finally {
    stdin.setRawMode(false);
    stdin.destroy();
  }
}
