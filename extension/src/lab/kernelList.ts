// Asks the kernel of a session for its models and runs, when it has executed something and when it tells that runs go on.
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { ask, type Inventory, MIME, readInventory, readRuns, type RunLine, TARGET } from '../model/inventory';

export interface ListHost {
  /** Whether anybody looks: a hidden sidebar asks nothing. */
  seen(): boolean;
  inventory(inventory: Inventory): void;
  runs(runs: RunLine[]): void;
  /** Words for the user; `only`: there is nothing to list. */
  say(words: string, only: boolean): void;
}

/** After an execution, until the next question: cells run in a row are one change. */
const PATIENCE = 150;

const NO_KERNEL = 'The notebook has no kernel. Choose one to see its models and runs.';
const BUSY = 'The kernel is busy: models are listed again when it is free.';
const NOT_IMPORTED = 'This kernel has not imported CNTK Lab yet. Run import cntk_lab as C, and models and runs are listed here.';

export class KernelList {
  private readonly own = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking = 0;
  /** Grows when the kernel is another one: its predecessor's answers count no more. */
  private turn = 1;
  private again = false;
  private known = false;
  private watched: Kernel.IKernelConnection | null = null;
  /** Whether the kernel tells of runs by itself. */
  private told = false;
  private ended = false;

  constructor(private readonly session: ISessionContext, private readonly host: ListHost) {
    session.iopubMessage.connect(this.heard, this);
    session.statusChanged.connect(this.turned, this);
    session.kernelChanged.connect(this.changed, this);
    this.soon(0);
  }

  dispose(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.session.iopubMessage.disconnect(this.heard, this);
    this.session.statusChanged.disconnect(this.turned, this);
    this.session.kernelChanged.disconnect(this.changed, this);
    this.watched?.removeCommTarget(TARGET, this.opened);
  }

  get kernel(): Kernel.IKernelConnection | null {
    return this.session.session?.kernel ?? null;
  }

  /** Ask soon: now if the kernel is free, else when it is. */
  soon(wait = PATIENCE): void {
    clearTimeout(this.timer);
    if (!this.ended) this.timer = setTimeout(() => void this.ask(), wait);
  }

  private heard(_session: ISessionContext, message: KernelMessage.IMessage): void {
    const parent = message.parent_header as Partial<KernelMessage.IHeader>;
    if (message.header.msg_type !== 'status' || (message.content as { execution_state?: string }).execution_state !== 'idle') return;
    if (parent.msg_type === 'execute_request' && !this.own.delete(parent.msg_id ?? '')) this.soon();
  }

  private turned(_session: ISessionContext, status: Kernel.Status): void {
    if (status === 'restarting' || status === 'autorestarting' || status === 'starting') {
      this.forget();
      this.host.say('The kernel is starting …', true);
    } else if (status === 'idle' && (this.again || !this.known)) this.soon();
    else if (status === 'busy' && !this.asking && this.known) {
      // a short execution is over before anybody has read it
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.ask(), 600);
    } else if (status === 'dead' || status === 'unknown') this.soon(0);
  }

  private changed(): void {
    this.forget();
    this.own.clear();
    this.soon(0);
  }

  private forget(): void {
    this.known = this.told = false;
    this.asking = 0;
    this.turn++;
  }

  private async ask(): Promise<void> {
    if (this.ended || !this.host.seen()) return;
    const { kernel } = this;
    if (!kernel || kernel.status === 'dead') return this.host.say(NO_KERNEL, true);
    if (this.asking || kernel.status !== 'idle') {
      this.again = true;
      if (kernel.status === 'busy' && !this.asking) this.host.say(BUSY, !this.known);
      return;
    }
    const turn = this.turn;
    this.asking = turn;
    this.again = false;
    try {
      const info = await kernel.info;
      if (info.language_info.name !== 'python') return this.host.say(`CNTK Lab is a Python package; this kernel speaks ${info.language_info.name}.`, true);
      this.watch(kernel);
      const future = kernel.requestExecute({ code: '', silent: true, store_history: false, stop_on_error: false, allow_stdin: false, user_expressions: { inventory: ask(!this.told) } });
      this.own.add(future.msg.header.msg_id);
      const reply = await future.done;
      if (!this.ended && turn === this.turn) this.take(reply.content as { status: string; user_expressions?: Record<string, unknown> });
    } catch (error) {
      if (!this.ended && turn === this.turn) this.host.say(`The kernel does not answer: ${error instanceof Error ? error.message : String(error)}`, !this.known);
    } finally {
      if (turn === this.turn) {
        this.asking = 0;
        if (this.again) this.soon();
      }
    }
  }

  private take(content: { status: string; user_expressions?: Record<string, unknown> }): void {
    const answer = content.user_expressions?.inventory as { status?: string; data?: Record<string, unknown>; evalue?: string } | undefined;
    const data = answer?.data?.[MIME];
    if (content.status !== 'ok' || !answer || answer.status !== 'ok') {
      this.host.say(`The models of this kernel cannot be listed: ${String(answer?.evalue ?? content.status).slice(0, 300)}`, true);
    } else if (data === undefined) {
      this.host.say(NOT_IMPORTED, true);
    } else {
      this.known = true;
      this.host.say('', false);
      this.host.inventory(readInventory(data));
    }
  }

  /** Hear of runs, also while a cell keeps the kernel busy. */
  private watch(kernel: Kernel.IKernelConnection): void {
    if (this.watched === kernel) return;
    this.watched?.removeCommTarget(TARGET, this.opened);
    this.watched = kernel;
    this.told = false;
    kernel.registerCommTarget(TARGET, this.opened);
  }

  private readonly opened = (comm: Kernel.IComm): void => {
    this.told = true;
    comm.onClose = () => {
      this.told = false;
    };
    comm.onMsg = message => {
      const { runs } = message.content.data as { runs?: unknown };
      if (!this.ended && this.known) this.host.runs(readRuns(runs));
    };
  };
}
