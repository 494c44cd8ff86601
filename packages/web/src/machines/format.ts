import { type Timestamp, timestampDate, timestampMs } from "@bufbuild/protobuf/wkt";

/** A span of time with two units at most: "12 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** MiB as people read it. */
export function mebibytes(value: number): string {
  return value >= 1024 ? `${Number((value / 1024).toFixed(1))} GiB` : `${value} MiB`;
}

/** Time since a moment. */
export function since(moment: Timestamp | undefined, now: number): string {
  return moment === undefined ? "–" : duration(now - timestampMs(moment));
}

/** Time until a moment. */
export function until(moment: Timestamp | undefined, now: number): string {
  return moment === undefined ? "–" : duration(timestampMs(moment) - now);
}

/** Bytes as people read them. */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let left = value;
  for (; left >= 1024 && unit < units.length - 1; unit++) left /= 1024;
  return `${unit === 0 ? left : left.toFixed(1)} ${units[unit]}`;
}

/** A moment as people here write it. */
export function dateAndTime(at: Timestamp | Date | undefined): string {
  if (at === undefined) return "–";
  const date = at instanceof Date ? at : timestampDate(at);
  return date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
