import type { PtySession, PtySize } from "@nullspace/sdk";
import { type RefObject, useEffect, useEffectEvent, useRef } from "react";
import { useSignOut } from "../../session/sign-out";
import { Attachment, type TerminalStatus } from "./attachment";
import { KeyBar } from "./key-bar";
import { Screen } from "./screen";

interface Props {
  /** Makes or finds the session. Each view asks once; another session needs another `key`. */
  open: (size: PtySize, signal: AbortSignal) => Promise<PtySession>;
  onOpened: (session: PtySession) => void;
  onStatus: (status: TerminalStatus) => void;
  /** Where the keyboard goes when it leaves the terminal. */
  exit: RefObject<HTMLElement | null>;
}

/** A session on the screen, ready to be typed into. */
export function TerminalView({ open, onOpened, onStatus, exit }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useRef<Screen>(undefined);
  const signOut = useSignOut();
  const attach = useEffectEvent((screen: Screen) => {
    return new Attachment({ screen, open, onOpened, onStatus, onRefused: signOut });
  });
  const leave = useEffectEvent(() => exit.current?.focus());

  useEffect(() => {
    if (box.current === null) return;
    const screen = new Screen(box.current, () => leave());
    const attachment = attach(screen);
    shown.current = screen;
    const observer = new ResizeObserver(() => attachment.fit());
    observer.observe(box.current);
    // Who types decides on the size, when several look at one session.
    screen.terminal.textarea?.addEventListener("focus", () => attachment.fit());
    screen.terminal.focus();
    return () => {
      observer.disconnect();
      attachment[Symbol.dispose]();
      screen[Symbol.dispose]();
    };
  }, []);

  return (
    <>
      <div className="terminal-box">
        <div ref={box} className="terminal-screen" />
      </div>
      <KeyBar screen={shown} />
    </>
  );
}
