import { type DragEvent, type ReactNode, useRef, useState } from "react";

interface Props {
  onFiles: (files: File[]) => void;
  /** Told when something was dropped that cannot be taken. */
  onRefused: (reason: string) => void;
  children: ReactNode;
}

/** Takes files that are dropped on it. */
export function DropZone({ onFiles, onRefused, children }: Props) {
  const [over, setOver] = useState(false);
  // Entering a child comes before leaving its parent.
  const depth = useRef(0);
  const bringsFiles = (event: DragEvent) => event.dataTransfer.types.includes("Files");

  function drop(event: DragEvent) {
    if (!bringsFiles(event)) return;
    event.preventDefault();
    depth.current = 0;
    setOver(false);
    const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
    const files = items
      .filter((item) => item.webkitGetAsEntry()?.isDirectory !== true)
      .map((item) => item.getAsFile())
      .filter((file) => file !== null);
    if (files.length < items.length) {
      onRefused("Folders cannot be dropped here: make the folder, then drop its files into it.");
    }
    if (files.length > 0) onFiles(files);
  }

  return (
    <div
      className={over ? "drop over" : "drop"}
      onDragEnter={(event) => {
        if (!bringsFiles(event)) return;
        depth.current++;
        setOver(true);
      }}
      onDragOver={(event) => bringsFiles(event) && event.preventDefault()}
      onDragLeave={(event) => {
        if (bringsFiles(event) && --depth.current <= 0) setOver(false);
      }}
      onDrop={drop}
    >
      {children}
    </div>
  );
}
