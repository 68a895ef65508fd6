/** What the library reports while it works. Facts only; how they look is the command line's business. */

export type Event =
  /** A phase of the plan begins; `items` and `bytes` are its totals, where they are known. */
  | {
      readonly type: "phase.started";
      readonly phase: string;
      readonly items?: number;
      readonly bytes?: number;
    }
  /**
   * Done so far in that phase, counted from its start. `share`: of the phase's time, from 0 to 1, as far as can be
   * foreseen from what is done; absent where nothing tells. `detail`: what is being worked on now.
   */
  | {
      readonly type: "phase.progress";
      readonly phase: string;
      readonly items: number;
      readonly bytes?: number;
      readonly share?: number;
      readonly detail?: string;
    }
  | { readonly type: "phase.finished"; readonly phase: string }
  /** Something the reader should know, though it is no error. */
  | { readonly type: "note"; readonly text: string }
  /** A line that a builder, or Nix, printed. */
  | { readonly type: "nix.log"; readonly line: string }
  /** A request that a server answered, as a line of its access log. */
  | { readonly type: "request.answered"; readonly line: string };

export type Report = (event: Event) => void;
