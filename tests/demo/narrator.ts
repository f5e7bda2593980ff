export const bold = (text: string) => (process.stdout.isTTY ? `\u001b[1m${text}\u001b[0m` : text);
let chapter = 0;

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** What somebody else printed, set in. */
export function quote(text: string): void {
  for (const line of text.trimEnd().split('\n')) say(`   ${line}`.trimEnd());
}

export function title(text: string): void {
  chapter += 1;
  say(`\n${bold(`${chapter}. ${text}`)}`);
}
