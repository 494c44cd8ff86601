/** Tells a person (or a log) which step of a build runs, for how long, and how it ended. */
export interface Progress {
  /** A step begins. */
  begin(title: string): Step;
  /** One line that belongs to no step. */
  note(text: string): void;
}

/** A step that runs. */
export interface Step {
  /** What the step is doing at the moment. */
  detail(text: string): void;
  /** Ends the step; `remark` says how, if there is more to say than that it worked. */
  end(remark?: string): void;
  fail(): void;
}

/** Where progress is written to. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const REDRAW_MS = 250;

/**
 * Progress as lines: on a terminal one line per step, redrawn with its elapsed
 * time and what it does; elsewhere a line at its begin and one at its end.
 */
export function openProgress(stream: ProgressStream, now: () => number = Date.now): Progress {
  const live = stream.isTTY === true;

  const begin = (title: string): Step => {
    const started = now();
    let detail = "";
    const elapsed = (): string => `${((now() - started) / 1000).toFixed(1)} s`;
    const draw = (): void => {
      const text = `  … ${title} (${elapsed()})${detail === "" ? "" : ` ${detail}`}`;
      stream.write(`\r\x1b[K${text.slice(0, (stream.columns ?? 80) - 1)}`);
    };
    const timer = live ? setInterval(draw, REDRAW_MS) : undefined;
    timer?.unref();
    if (live) draw();
    else stream.write(`  … ${title}\n`);
    const close = (mark: string, remark: string): void => {
      clearInterval(timer);
      stream.write(`${live ? "\r\x1b[K" : ""}  ${mark} ${title} (${remark})\n`);
    };
    return {
      detail(text) {
        detail = text;
      },
      end(remark) {
        close("✓", remark ?? elapsed());
      },
      fail() {
        close("✗", `failed after ${elapsed()}`);
      },
    };
  };

  return {
    begin,
    note(text) {
      stream.write(`  ${text}\n`);
    },
  };
}
