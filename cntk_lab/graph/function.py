"""Function: a user's handle on a graph: its arguments, parameters and outputs, and what can be done with it.

Every operator returns a *composite* Function: a view of everything below its root node. The root node alone is the
*primitive* Function (``root_function``). What runs, saves, trains or shows a function is plugged in from above
(``ports``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cntk_lab.errors import GraphError, SignatureError
from cntk_lab.graph import clone as cloning
from cntk_lab.graph import ports, walk
from cntk_lab.graph.naming import new_uid
from cntk_lab.graph.node import Node, note_edit
from cntk_lab.graph.operand import Operable, bind_symbol, symbol
from cntk_lab.graph.variable import Variable

CloneMethod = cloning.CloneMethod


class Function(Operable):
    """A network, a layer or a single operator: something with arguments and outputs.

    ``Function(f)`` (also used as a decorator) turns a Python function of variables into a network function.

    Example:
        >>> import cntk_lab as C
        >>> x = C.input_variable(2)
        >>> f = C.plus(x, 1, name="next")
        >>> f.name, f.shape, f([[1, 2]]).tolist()
        ('next', (2,), [[2.0, 3.0]])

    Source: CNTK 2.7 ``ops.functions.Function``.
    """

    node: Node
    _composite: bool
    _uid: str

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a Function from a Python function, or from Functions by a subclass' own constructor."""
        if cls is Function:
            if len(args) == 1 and callable(args[0]) and not isinstance(args[0], Function):
                return symbol("function_from")(args[0], **kwargs)
            if len(args) == 1 and isinstance(args[0], Function):
                return args[0]
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: instances come from operators, or from ``__new__``."""

    @classmethod
    def of(cls, node: Node, *, composite: bool = True) -> Function:
        """The Function of a node: the composite one, or the primitive one, of which there is only one per node."""
        if not composite and node.function is not None:
            return node.function
        function = object.__new__(Function)
        function.node, function._composite = node, composite
        function._uid = new_uid("CompositeFunction") if composite else node.uid
        if not composite:
            node.function = function
        return function

    # ---- what it is

    @property
    def name(self) -> str:
        """The name the user gave; empty if there is none."""
        return self.node.name

    @name.setter
    def name(self, value: str) -> None:
        if self.node.name and not _renaming["allowed"]:
            raise GraphError(
                f"function '{self.node.name}' already has a name: it cannot be renamed to '{value}'",
                fix="make a second handle with alias(f, name=...)",
            )
        self.node.name = value
        if len(self.node.outputs) == 1:
            self.node.outputs[0]._name = value

    @property
    def uid(self) -> str:
        """A name that nothing else in this process has."""
        return self._uid

    @property
    def op_name(self) -> str:
        """The operator's name in CNTK; ``CompositeFunctionOpName`` for a composite function."""
        return "CompositeFunctionOpName" if self._composite else self.node.op_name

    @property
    def root_function(self) -> Function:
        """The primitive function at the root."""
        return Function.of(self.node, composite=False)

    @property
    def is_composite(self) -> bool:
        """Whether this is a view of a whole graph."""
        return self._composite

    @property
    def is_primitive(self) -> bool:
        """Whether this is a single node: an operator, or a block with its graph inside."""
        return not self._composite

    @property
    def is_block(self) -> bool:
        """Whether this is a single node that holds a graph."""
        return not self._composite and self.node.block is not None

    @property
    def block_root(self) -> Function:
        """The root inside a block.

        Raises:
            GraphError: if this is not a block.
        """
        block = self.node.block
        if block is None or self._composite:
            raise GraphError(
                f"{self.node.op_name} is not a block function",
                fix="ask is_block first; composite.root_function may be one",
            )
        inside = block.outputs[0].node
        if inside is None or len(block.outputs) > 1 or len(inside.outputs) > 1:
            return symbol("combine")(block.outputs).root_function  # type: ignore[no-any-return]
        return Function.of(inside, composite=False)

    @property
    def block_arguments_mapping(self) -> list[tuple[Variable, Variable]]:
        """Pairs of the placeholder inside a block and the variable outside it stands for."""
        block = self.node.block
        if block is None:
            raise GraphError(f"{self.node.op_name} is not a block function")
        return [(p, p.block_input) for p in block.arguments if p.block_input is not None]

    # ---- variables

    @property
    def outputs(self) -> tuple[Variable, ...]:
        """All outputs."""
        return self.node.outputs

    @property
    def output(self) -> Variable:
        """The output, if there is exactly one.

        Raises:
            GraphError: if there are more.
        """
        if len(self.node.outputs) != 1:
            raise GraphError(
                f"function '{self.name or self.uid}' has {len(self.node.outputs)} outputs", fix="take one of .outputs"
            )
        return self.node.outputs[0]

    @property
    def inputs(self) -> list[Variable]:
        """Everything the function reads: arguments, parameters, constants."""
        return walk.leaves(self.node.outputs) if self._composite else list(self.node.inputs)

    @property
    def arguments(self) -> tuple[Variable, ...]:
        """Inputs and placeholders, in the order in which the function is called."""
        if not self._composite:
            return tuple(v for v in self.node.inputs if not (v.is_parameter or v.is_constant))
        return tuple(v for v in self.inputs if v.is_input or v.is_placeholder)

    @property
    def parameters(self) -> tuple[Variable, ...]:
        """Parameters, in CNTK's order."""
        return tuple(v for v in self._leaves_cntk() if v.is_parameter)

    @property
    def constants(self) -> tuple[Variable, ...]:
        """Constants, in CNTK's order."""
        return tuple(v for v in self._leaves_cntk() if v.is_constant)

    @property
    def placeholders(self) -> tuple[Variable, ...]:
        """Placeholders that are not replaced yet."""
        return tuple(v for v in self.inputs if v.is_placeholder)

    def _leaves_cntk(self) -> list[Variable]:
        return walk.leaves(self.node.outputs, python_order=False) if self._composite else list(self.node.inputs)

    @property
    def attributes(self) -> dict[str, Any]:
        """The operator's attributes under CNTK's names; empty for a composite function."""
        return {} if self._composite else ports.use("attributes")(self.node)

    @property
    def custom_attributes(self) -> dict[str, Any]:
        """Attributes of the user's own, kept in files."""
        return self.node.custom

    @custom_attributes.setter
    def custom_attributes(self, values: Mapping[str, Any]) -> None:
        self.node.custom = dict(values)

    @property
    def type(self) -> Any:
        """The type of the output, if there is exactly one."""
        return self.output.type

    # ---- graph surgery

    def clone(self, method: Any = CloneMethod.share, substitutions: Mapping[Any, Any] | None = None) -> Function:
        """A copy of the graph.

        Args:
            method: ``share`` keeps the parameters, ``clone`` copies them, ``freeze`` makes constants of them; inputs
                and placeholders that are not substituted are new ones of the same names.
            substitutions: variables of this graph -> what stands in their place in the copy.

        Returns:
            A new Function; shapes are inferred anew.
        """
        return cloning.clone(self, method, substitutions)

    def replace_placeholders(self, substitutions: Mapping[Any, Any]) -> Function:
        """Put variables in the place of placeholders, in this graph itself; a cycle may arise through a delay."""
        return cloning.replace_placeholders(self, substitutions)

    def replace_placeholder(self, substitution: Any) -> Function:
        """Put a variable in the place of the only placeholder.

        Raises:
            GraphError: if there is not exactly one.
        """
        open_ = self.placeholders
        if len(open_) != 1:
            raise GraphError(
                f"function '{self.name or self.uid}' has {len(open_)} placeholders, not exactly one",
                fix="use replace_placeholders({placeholder: variable, ...})",
            )
        return cloning.replace_placeholders(self, {open_[0]: substitution})

    def find_by_name(self, name: str, depth: int = 0) -> Any:
        """The function or leaf variable of that name, or None; ``depth`` levels of blocks are opened (-1: all).

        Raises:
            GraphError: if several things have that name.
        """
        found = self.find_all_with_name(name, depth)
        if len(found) > 1:
            raise GraphError(
                f"{len(found)} functions and variables have the name '{name}': {', '.join(map(str, found[:8]))}",
                fix="use find_all_with_name, or give them different names",
            )
        return found[0] if found else None

    def find_all_with_name(self, name: str, depth: int = 0) -> list[Any]:
        """All primitive functions and leaf variables of that name; ``depth`` levels of blocks are opened (-1: all).

        What a placeholder inside a block stands for is found outside.
        """
        hits = walk.search(
            self.node.outputs,
            lambda thing: thing.name == name and (isinstance(thing, Node) or thing.block_input is None),
            depth,
        )
        return [Function.of(h, composite=False) if isinstance(h, Node) else h for h in hits]

    def set_attribute(self, name: str, value: Any) -> None:
        """Change an attribute that may change after the graph is built: ``dropoutRate`` or ``rngSeed``."""
        key = {"dropoutRate": "dropout_rate", "rngSeed": "seed"}.get(name)
        if key is None or key not in self.node.attributes:
            raise UnsupportedAttributeError(
                f"attribute '{name}' of {self.node.op_name} cannot be changed after the graph is built",
                fix="only dropoutRate and rngSeed can",
            )
        self.node.attributes[key] = value
        note_edit()

    # ---- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply to variables (giving a Function) or to data (giving arrays)."""
        return symbol("call")(self, args, kwargs)

    def argument_map(self, *args: Any, **kwargs: Any) -> dict[Variable, Any]:
        """Which argument gets what in a call: a dictionary argument -> what is given by position or name.

        Raises:
            SignatureError: if the count or a name is wrong.
        """
        return symbol("match")(self, args, kwargs)  # type: ignore[no-any-return]

    def __rshift__(self, other: Any) -> Any:
        return symbol("chain")(self, other)

    def __rrshift__(self, other: Any) -> Any:
        return symbol("chain")(other, self)

    def __lshift__(self, other: Any) -> Any:
        return self(other)

    @property
    def signature(self) -> tuple[Variable, ...]:
        """The arguments in the order of a call."""
        return self.arguments

    def update_signature(self, *types: Any, **named: Any) -> None:
        """Replace placeholder arguments by inputs of the given types (or shapes); inferred dimensions are resolved."""
        symbol("update_signature")(self, types, named)

    def declare_args(self, *types: Any) -> None:
        """Old name of :meth:`update_signature`."""
        symbol("update_signature")(self, types, {})

    @staticmethod
    def with_signature(*args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], Function]:
        """A decorator like ``@Function`` that also says the arguments' types."""
        return symbol("with_signature")(*args, **kwargs)  # type: ignore[no-any-return]

    # ---- computing (plugged in from above)

    def eval(self, arguments: Any = None, outputs: Any = None, device: Any = None, as_numpy: bool = True) -> Any:
        """Values of the outputs for data.

        Args:
            arguments: a dictionary variable (or name) -> data, or data alone for a single argument.
            outputs: which outputs (variables or Functions); default all.
            device: where to compute; default the default device.
            as_numpy: give NumPy arrays (a list of one per sequence for sequences) instead of Values.

        Returns:
            The value, or a dictionary of values under the objects that were asked for if there are several.
        """
        return ports.use("executor").evaluate(self, arguments, outputs, device, as_numpy)

    def forward(
        self,
        arguments: Any = None,
        outputs: Any = None,
        keep_for_backward: Any = None,
        device: Any = None,
        as_numpy: bool = True,
    ) -> Any:
        """Values of outputs and, if ``keep_for_backward`` names outputs, the state that ``backward`` needs."""
        return ports.use("executor").forward(self, arguments, outputs, keep_for_backward, device, as_numpy)

    def backward(self, state: Any, root_gradients: Any, variables: Any, as_numpy: bool = True) -> Any:
        """Gradients of ``variables`` for given gradients of the outputs, after ``forward`` kept its state."""
        return ports.use("executor").backward(state, root_gradients, variables, as_numpy)

    def grad(
        self,
        at: Any = None,
        wrt: Any = None,
        outputs: Any = None,
        device: Any = None,
        as_numpy: bool = True,
        grad_root: Any = None,
    ) -> Any:
        """Gradients at a point: of the sum of all elements of the output with respect to ``wrt``."""
        return ports.use("executor").gradient(self, at, wrt, outputs, device, as_numpy, grad_root)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train parameters on data; see ``cntk_lab.train``."""
        return ports.use("train")(self, *args, **kwargs)

    def test(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate a criterion on data; see ``cntk_lab.train``."""
        return ports.use("test")(self, *args, **kwargs)

    def save(
        self, filename: Any, format: Any = None, use_external_files_to_store_parameters: bool = False, **options: Any
    ) -> Any:
        """Write the model to a file, atomically; formats have ``options`` of their own (``cntk_lab.formats.save``)."""
        return ports.use("save")(self, filename, format, use_external_files_to_store_parameters, **options)

    def restore(self, filename: Any) -> None:
        """Read the parameters' values back from a file of the same model."""
        ports.use("restore")(self, filename)

    @staticmethod
    def load(model: Any, device: Any = None, format: Any = None, **options: Any) -> Function:
        """Read a model from a file or from bytes; formats have ``options`` of their own (``cntk_lab.formats.load``)."""
        return ports.use("load")(model, device, format, **options)  # type: ignore[no-any-return]

    @staticmethod
    def register_udf_deserialize_callback(op_name: str, callback: Callable[..., Any]) -> None:
        """Say what makes the user functions of that operator name when a model is loaded: ``callback(inputs, name,
        state)``.
        """
        symbol("register_user_function")(op_name, callback)

    # ---- words and pictures

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("node", "_composite", "_uid"):
            raise AttributeError(name)
        return symbol("attribute")(self, name)

    def __str__(self) -> str:
        return str(symbol("as_text")(self))

    def __repr__(self) -> str:
        return str(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:  # noqa: ARG002
        return ports.use("display")(self)

    def __iter__(self) -> Any:
        raise TypeError(
            f"function '{self.name or self.uid}' is not iterable: take .outputs, or [begin:end] along an axis"
        )

    def __hash__(self) -> int:
        return id(self) >> 4

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Function) and not self._composite and not other._composite and self.node is other.node
        )


class UnsupportedAttributeError(GraphError, RuntimeError):
    """An attribute was set that cannot change after the graph is built."""


_renaming = {"allowed": False}


def allow_renaming_functions() -> None:
    """From now on, names of functions may be changed after they were set."""
    _renaming["allowed"] = True


def output_of(thing: Any) -> Variable:
    """The variable that a Function or variable stands for.

    Raises:
        SignatureError: if it is neither.
    """
    if isinstance(thing, Variable):
        return thing
    if isinstance(thing, Function):
        return thing.output
    raise SignatureError(f"expected a variable or a Function, got {type(thing).__name__}: {str(thing)[:60]!r}")


def outputs_of(things: Any) -> list[Variable]:
    """The variables of one or several Functions or variables."""
    if isinstance(things, Function):
        return list(things.outputs)
    if isinstance(things, Variable):
        return [things]
    if isinstance(things, Iterable) and not isinstance(things, (str, bytes)):
        return [v for t in things for v in outputs_of(t)]
    return [output_of(things)]


def keys_of(things: Any) -> list[Function | Variable]:
    """What results of these things are found under: the very objects that were asked for, in the order of
    :func:`outputs_of`; of a Function with several outputs these.
    """
    if isinstance(things, Function):
        return [things] if len(things.outputs) == 1 else list(things.outputs)
    if isinstance(things, Iterable) and not isinstance(things, Variable):
        return [k for t in things for k in keys_of(t)]
    return [things]


bind_symbol("owner", lambda node: Function.of(node, composite=False))
