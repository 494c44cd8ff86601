import { useState } from "react";

/** Copies a text and says so until the pointer leaves. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  async function copy() {
    await navigator.clipboard.writeText(text);
    setCopied(true);
  }
  // Pages without TLS on another host have no clipboard.
  if (!window.isSecureContext) return undefined;
  return (
    <button
      type="button"
      className="copy"
      aria-label={label}
      title={label}
      onClick={() => void copy()}
      onPointerLeave={() => setCopied(false)}
      onBlur={() => setCopied(false)}
    >
      {copied ? "Copied" : "Copy"}
    </button>
  );
}
