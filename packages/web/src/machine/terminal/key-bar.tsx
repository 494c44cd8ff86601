import type { RefObject } from "react";
import type { Screen } from "./screen";

const KEYS = [
  { label: "Esc", plain: "\x1b" },
  { label: "Tab", plain: "\t" },
  { label: "^C", name: "Control C", plain: "\x03" },
  { label: "^D", name: "Control D", plain: "\x04" },
  { label: "↑", name: "Up", plain: "\x1b[A", application: "\x1bOA" },
  { label: "↓", name: "Down", plain: "\x1b[B", application: "\x1bOB" },
  { label: "←", name: "Left", plain: "\x1b[D", application: "\x1bOD" },
  { label: "→", name: "Right", plain: "\x1b[C", application: "\x1bOC" },
];

/** Keys that the keyboards of phones do not have. Shown on phones only. */
export function KeyBar({ screen }: { screen: RefObject<Screen | undefined> }) {
  return (
    <div className="keys" role="group" aria-label="Keys">
      {KEYS.map(({ label, name, plain, application = plain }) => (
        <button
          key={label}
          type="button"
          aria-label={name}
          // The terminal keeps the focus, and with it the keyboard stays up.
          onPointerDown={(event) => event.preventDefault()}
          onClick={() => {
            const terminal = screen.current?.terminal;
            terminal?.input(terminal.modes.applicationCursorKeysMode ? application : plain);
          }}
        >
          {label}
        </button>
      ))}
    </div>
  );
}
