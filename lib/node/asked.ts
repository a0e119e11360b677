import { FlowsieveError } from '../errors/index.js';
import type { ExpectationMessage, Incarnation, Message } from '../protocol/index.js';

// Something that every other living member is asked until it has answered.

/** How often a member that owes an answer is asked; milliseconds. */
const AGAIN = 40;

/** What a member has answered. */
export type Answer = Extract<ExpectationMessage, { type: 'expected' }> & { readonly from: string };

/** This node's life, and the other living members in theirs. */
export interface Members {
  readonly incarnation: Incarnation;
  readonly others: ReadonlyMap<string, Incarnation>;
}

/** What asking needs of its node. */
export interface AskedParts {
  /** Null while it is no member. */
  members(): Members | null;
  send(to: string, message: Message): void;
  now(): number;
}

interface Question {
  readonly id: number;
  readonly step: Answer['step'];
  readonly deadline: number;
  readonly incarnation: Incarnation;
  readonly message: Message;
  /** By name and life: another life knows nothing of what the one before has answered. */
  readonly answers: Map<string, Answer>;
  resolve(answers: Answer[]): void;
  reject(error: FlowsieveError): void;
}

export class Asked {
  private readonly questions = new Set<Question>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly parts: AskedParts) {}

  /**
   * Asks all others who are living members, or become it meanwhile; resolves when each has
   * answered, or is dead.
   *
   * @throws FlowsieveError FLOWSIEVE_TIMEOUT at the deadline, FLOWSIEVE_STATE when this node's life
   * has ended
   */
  ask(
    id: number,
    step: Answer['step'],
    deadline: number,
    message: (incarnation: Incarnation) => Message,
  ): Promise<Answer[]> {
    const incarnation = this.parts.members()?.incarnation;
    if (incarnation === undefined) return Promise.reject(over());
    return new Promise((resolve, reject) => {
      const question: Question = {
        id,
        step,
        deadline,
        incarnation,
        message: message(incarnation),
        answers: new Map(),
        resolve,
        reject,
      };
      this.questions.add(question);
      this.attend(question);
    });
  }

  answered(from: string, answer: Omit<Answer, 'from'>): void {
    const life = this.parts.members()?.others.get(from);
    if (life === undefined) return;
    for (const question of this.questions) {
      if (question.id !== answer.id || question.step !== answer.step) continue;
      question.answers.set(`${from} ${life}`, { ...answer, from });
      this.settle(question);
    }
  }

  /** Who owes an answer about that id. */
  missing(id: number): string[] {
    return [...this.questions]
      .filter((question) => question.id === id)
      .flatMap((question) => this.owing(question));
  }

  membersChanged(): void {
    for (const question of this.questions) this.attend(question);
  }

  /** Whatever is asked is over. */
  abandon(): void {
    for (const question of this.questions) question.reject(over());
    this.questions.clear();
    clearTimeout(this.timer);
  }

  private owing({ answers }: Question): string[] {
    const others = this.parts.members()?.others ?? new Map<string, Incarnation>();
    return [...others]
      .filter(([name, life]) => !answers.has(`${name} ${life}`))
      .map(([name]) => name);
  }

  /** True when it has come to its end. */
  private settle(question: Question): boolean {
    const refused = [...question.answers.values()].some((answer) => answer.refused !== null);
    if (!refused && this.owing(question).length > 0) return false;
    this.questions.delete(question);
    question.resolve([...question.answers.values()]);
    return true;
  }

  private attend(question: Question): void {
    if (this.parts.members()?.incarnation !== question.incarnation) {
      this.questions.delete(question);
      question.reject(over());
      return;
    }
    if (this.settle(question)) return;
    const owing = this.owing(question);
    if (this.parts.now() >= question.deadline) {
      this.questions.delete(question);
      question.reject(lateAnswer(owing));
      return;
    }
    for (const name of owing) this.parts.send(name, question.message);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      for (const each of this.questions) this.attend(each);
    }, AGAIN).unref();
  }
}

function over(): FlowsieveError {
  const sentence = 'Expected a member of the cluster until all know but received another life.';
  return new FlowsieveError('FLOWSIEVE_STATE', sentence);
}

/** The error that names who has not answered. */
export function lateAnswer(names: readonly string[]): FlowsieveError {
  const sentence = `Expected an answer of every member for an expectation but received none from ${names.join(', ')}.`;
  return new FlowsieveError('FLOWSIEVE_TIMEOUT', sentence);
}
