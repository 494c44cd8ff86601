import { type ChangeEvent, useRef } from "react";

interface Props {
  onRefresh: () => void;
  onNewFolder: () => void;
  onNewFile: () => void;
  onUpload: (files: File[]) => void;
}

/** What can be done in a folder. */
export function FolderBar({ onRefresh, onNewFolder, onNewFile, onUpload }: Props) {
  const input = useRef<HTMLInputElement>(null);
  function choose({ target }: ChangeEvent<HTMLInputElement>) {
    onUpload([...(target.files ?? [])]);
    // The same file may be chosen again.
    target.value = "";
  }
  return (
    <div className="bar-actions">
      <button type="button" className="plain" onClick={onRefresh}>
        Refresh
      </button>
      <button type="button" onClick={onNewFolder}>
        New folder
      </button>
      <button type="button" onClick={onNewFile}>
        New file
      </button>
      <button type="button" className="primary" onClick={() => input.current?.click()}>
        Upload
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="Files to upload"
        onChange={choose}
      />
    </div>
  );
}
