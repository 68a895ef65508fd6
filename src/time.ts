/** Points in time as this format writes them: UTC, whole seconds, `YYYY-MM-DDThh:mm:ssZ`. Never reads a clock. */

/** `seconds` since 1970, as flakes count `lastModified`. The year must have four digits, else RangeError. */
export function formatTime(seconds: number): string {
  const text = new Date(seconds * 1000).toISOString();
  if (text.length !== "YYYY-MM-DDThh:mm:ss.sssZ".length) throw new RangeError(`year out of range: ${text}`);
  return `${text.slice(0, 19)}Z`;
}

/** Whether `text` is a time in that form that exists: not 30 February. */
export function isTime(text: string): boolean {
  const milliseconds = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN;
  return !Number.isNaN(milliseconds) && formatTime(milliseconds / 1000) === text;
}

/** Seconds since 1970 of a time in that form. */
export function secondsOf(time: string): number {
  return Date.parse(time) / 1000;
}

/** A moment in that form, cut to whole seconds. */
export function timeOf(moment: Date): string {
  return formatTime(Math.floor(moment.getTime() / 1000));
}
