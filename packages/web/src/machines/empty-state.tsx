import { CopyButton } from "./copy-button";

const SNIPPET = `import { Machine } from "@nullspace/sdk";

await using machine = await Machine.create({ template: "base" });
const { stdout } = await machine.commands.run("uname -a");
console.log(stdout);`;

/** What to do when there is nothing to see. */
export function EmptyState() {
  return (
    <section className="empty card">
      <h2>No machines yet</h2>
      <p className="quiet">
        Start one with the button above, with <code>nullspace machine create</code>, or from a
        program:
      </p>
      <div className="snippet">
        <pre tabIndex={0} aria-label="Example program">
          <code>{SNIPPET}</code>
        </pre>
        <CopyButton text={SNIPPET} label="Copy the program" />
      </div>
    </section>
  );
}
