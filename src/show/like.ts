/**
 * SQL's LIKE, as OpenMLDB matches database names: `%` is any text, `_` is any one character, `\`
 * escapes the next character, case matters, and a pattern that ends with a lone `\` matches nothing
 * (OpenMLDB 0.9: like in udf.cc). Takes time proportional to the product of both lengths, whatever the
 * pattern.
 */
export function isLike(name: string, pattern: string): boolean {
  const wanted = tokensOf(pattern);
  if (wanted === undefined) return false;
  const chars = [...name];
  let at = 0;
  let next = 0;
  /** Position of the last `%` in the pattern, and the end of the text that it has matched. */
  let star = -1;
  let matchedTo = 0;
  while (at < chars.length) {
    const token = wanted[next];
    if (token === ANY_TEXT) {
      star = next++;
      matchedTo = at;
    } else if (token !== undefined && (token === ANY_CHAR || token.text === chars[at])) {
      at += 1;
      next += 1;
    } else if (star >= 0) {
      next = star + 1;
      at = ++matchedTo;
    } else {
      return false;
    }
  }
  return wanted.slice(next).every((token) => token === ANY_TEXT);
}

/** The name, without escapes, if a pattern can match one name only; else undefined. */
export function onlyName(pattern: string): string | undefined {
  const tokens = tokensOf(pattern);
  if (tokens === undefined || tokens.some((one) => one === ANY_TEXT || one === ANY_CHAR)) {
    return undefined;
  }
  return tokens.map((one) => one.text).join("");
}

interface Token {
  readonly text: string;
}

const ANY_TEXT: Token = { text: "%" };
const ANY_CHAR: Token = { text: "_" };

/** Undefined for a pattern that ends with a lone escape. */
function tokensOf(pattern: string): Token[] | undefined {
  const chars = [...pattern];
  const tokens: Token[] = [];
  for (let index = 0; index < chars.length; index++) {
    const char = chars[index] ?? "";
    if (char === "%") tokens.push(ANY_TEXT);
    else if (char === "_") tokens.push(ANY_CHAR);
    else if (char !== "\\") tokens.push({ text: char });
    else if (index + 1 === chars.length) return undefined;
    else tokens.push({ text: chars[++index] ?? "" });
  }
  return tokens;
}
