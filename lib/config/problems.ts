import { z } from 'zod';
import { expectedSentence, type Problem, show } from '../errors/index.js';
import type { LeafNotes } from './leaves.js';

// Turns what zod finds into problems with one sentence each, in the words that the schema's
// own notes provide.

type Path = readonly PropertyKey[];

/** `['nodes', 1, 'weight']` as people write it: `nodes[1].weight`. */
export function pathText(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? String(step) : `${text}.${String(step)}`;
  }, '');
}

/** The schema inside its wrappers: optional, default, prefault, and a transformation behind it. */
export function bare(schema: z.core.$ZodType): z.core.$ZodType {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    return bare(schema.def.innerType);
  }
  return schema instanceof z.ZodPipe ? bare(schema.def.in) : schema;
}

/** The notes of a leaf, seen through its wrappers. */
export function notesOf(schema: z.core.$ZodType): LeafNotes | undefined {
  const meta = z.globalRegistry.get(bare(schema));
  return meta && 'expected' in meta ? (meta as unknown as LeafNotes) : undefined;
}

function step(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | undefined {
  const inner = bare(schema);
  if (inner instanceof z.ZodObject && typeof key === 'string') {
    return Object.hasOwn(inner.shape, key) ? inner.shape[key] : undefined;
  }
  return inner instanceof z.ZodArray ? inner.element : undefined;
}

function schemaAt(schema: z.core.$ZodType, path: Path): z.core.$ZodType | undefined {
  return path.reduce<z.core.$ZodType | undefined>(
    (current, key) => current && step(current, key),
    schema,
  );
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (current, key) =>
      typeof current === 'object' && current !== null && Object.hasOwn(current, key)
        ? (current as Record<PropertyKey, unknown>)[key]
        : undefined,
    value,
  );
}

function keysOf(schema: z.core.$ZodType | undefined): string {
  const inner = schema && bare(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape).join(', ') : '';
}

function subject(path: Path): string {
  return path.length === 0 ? 'the configuration' : pathText(path);
}

function unknownKeys(schema: z.core.$ZodType, path: Path, keys: readonly string[]): Problem[] {
  const known = keysOf(schemaAt(schema, path));
  return keys.map((key) => ({
    path: pathText([...path, key]),
    message: expectedSentence(`one of the keys ${known}`, subject(path), `the key ${show(key)}`),
  }));
}

function oneProblem(schema: z.core.$ZodType, path: Path, input: unknown): Problem {
  const leaf = schemaAt(schema, path);
  const notes = leaf && notesOf(leaf);
  const value = valueAt(input, path);
  const hidden = notes?.confidential && value !== undefined;
  const received = hidden ? 'something else' : show(value);
  const expected = notes?.expected ?? `a map with the keys ${keysOf(leaf)}`;
  return { path: pathText(path), message: expectedSentence(expected, subject(path), received) };
}

/** One problem for every path that zod complains about, in the order in which zod found them. */
export function problemsOf(
  schema: z.core.$ZodType,
  issues: readonly z.core.$ZodIssue[],
  input: unknown,
): Problem[] {
  const problems = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? unknownKeys(schema, issue.path, issue.keys)
      : [oneProblem(schema, issue.path, input)],
  );
  // A number that is too large and no integer has two issues and one problem.
  return [...new Map(problems.map((problem) => [problem.path, problem])).values()];
}

/** What is left of `T` when any part of it may be unusable. */
export type Salvaged<T> = T extends readonly (infer Element)[]
  ? readonly (Salvaged<Element> | undefined)[]
  : T extends object
    ? { readonly [Key in keyof T]?: Salvaged<T[Key]> | undefined }
    : T;

/**
 * The valid parts of an invalid input, defaults included, so that the checks that compare several
 * keys can run on what there is and all problems are named at once. List elements keep their
 * places; unusable ones are undefined.
 */
export function salvage<T extends z.ZodType>(schema: T, input: unknown): Salvaged<z.output<T>> {
  return salvagePart(schema, input) as Salvaged<z.output<T>>;
}

function salvagePart(schema: z.core.$ZodType, input: unknown): unknown {
  const whole = z.safeParse(schema, input);
  if (whole.success) return whole.data;
  const inner = bare(schema);
  if (inner instanceof z.ZodArray && Array.isArray(input)) {
    return input.map((element) => salvagePart(inner.element, element));
  }
  if (inner instanceof z.ZodObject && typeof input === 'object' && input !== null) {
    const entries = Object.entries(inner.shape as Record<string, z.core.$ZodType>);
    return Object.fromEntries(
      entries.map(([key, part]) => [key, salvagePart(part, valueAt(input, [key]))]),
    );
  }
  return undefined;
}
