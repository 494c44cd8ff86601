import type { FileInfo } from "@nullspace/sdk";
import { Link } from "@tanstack/react-router";
import { bytes, dateAndTime } from "../../machines/format";
import { useMachine } from "../machine-context";

interface Props {
  entry: FileInfo;
  folder: string;
  onDownload: () => void;
  onRename: () => void;
  onRemove: () => void;
}

/** One file or folder of the list. */
export function FileRow({ entry, folder, onDownload, onRename, onRemove }: Props) {
  const { id } = useMachine();
  const { name, path, type, size, modifiedAt, rawName, symlinkTarget } = entry;
  // A path that is not text cannot be said in a call.
  const named = rawName === undefined;
  const isFolder = type === "directory";
  const search = isFolder ? { folder: path } : { folder, file: path };
  const leads = named && type !== "other";
  return (
    <tr>
      <th scope="row">
        <div className="entry">
          <span className={`kind kind-${type}`} aria-hidden="true" />
          <span>
            {leads ? (
              <Link to="/machines/$id/files" params={{ id }} search={search}>
                {name}
                {isFolder && "/"}
              </Link>
            ) : (
              <span title={named ? "neither a file nor a folder" : "The name is not UTF-8."}>
                {name}
              </span>
            )}
            {symlinkTarget !== undefined && <span className="quiet fine"> → {symlinkTarget}</span>}
          </span>
        </div>
      </th>
      <td data-label="Size" className="number">
        {type === "file" ? bytes(size) : "–"}
      </td>
      <td data-label="Changed" className="number">
        <time dateTime={modifiedAt.toISOString()}>{dateAndTime(modifiedAt)}</time>
      </td>
      <td className="actions">
        {named && type === "file" && <Act name="Download" of={name} onClick={onDownload} />}
        {named && <Act name="Rename" of={name} onClick={onRename} />}
        {named && <Act name="Remove" of={name} onClick={onRemove} danger />}
      </td>
    </tr>
  );
}

interface ActProps {
  name: string;
  of: string;
  onClick: () => void;
  danger?: boolean;
}

function Act({ name, of, onClick, danger = false }: ActProps) {
  return (
    <button type="button" className={danger ? "danger" : undefined} onClick={onClick}>
      {name}
      <span className="hidden"> {of}</span>
    </button>
  );
}
