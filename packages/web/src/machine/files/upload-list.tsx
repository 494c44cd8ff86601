import { bytes } from "../../machines/format";
import { isUnderWay, type Upload } from "./uploads";

interface Props {
  uploads: readonly Upload[];
  onCancel: (id: number) => void;
}

/** What is on its way into the machine, and what came of it. */
export function UploadList({ uploads, onCancel }: Props) {
  if (uploads.length === 0) return undefined;
  return (
    <ul className="uploads card" aria-label="Uploads">
      {uploads.map((upload) => (
        <li key={upload.id}>
          <span className="upload-name">{upload.name}</span>
          {isUnderWay(upload) ? (
            <>
              <progress
                aria-label={`Upload of ${upload.name}`}
                max={Math.max(1, upload.size)}
                value={upload.sent}
              />
              <span className="quiet fine number">{bytes(upload.size)}</span>
              <button type="button" className="plain" onClick={() => onCancel(upload.id)}>
                Cancel<span className="hidden"> the upload of {upload.name}</span>
              </button>
            </>
          ) : (
            <span className={upload.state === "failed" ? "failure" : "quiet fine"} role="status">
              {upload.state === "done" && `Uploaded, ${bytes(upload.size)}`}
              {upload.state === "cancelled" && "Cancelled"}
              {upload.problem}
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}
