"""What `import kmodels` offers is the same to Python and to type checkers."""

import ast
import inspect
import typing
from pathlib import Path

import kmodels
from kmodels import export

HOME = Path(kmodels.__file__).parent


def test_the_stub_names_what_the_package_offers():
    tree = ast.parse((HOME / "__init__.pyi").read_text(encoding="utf-8"))
    homes = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("kmodels."):
            homes |= {alias.name: node.module for alias in node.names}
        elif isinstance(node, ast.FunctionDef):
            homes[node.name] = kmodels._HOMES[node.name]
    assert homes == kmodels._HOMES
    modules = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "kmodels"]
    assert {alias.name for node in modules for alias in node.names} == set(kmodels._MODULES)


def test_the_package_says_that_it_is_typed():
    assert (HOME / "py.typed").is_file()


def test_what_users_call_says_its_types():
    """But for `train`, whose types are in the stub, and for what dataclasses make."""
    functions = [kmodels.load, kmodels.build, kmodels.read, export.export]
    for each in (kmodels.Record, kmodels.Classifier, kmodels.Evaluation):
        functions += [value for value in vars(each).values() if inspect.isfunction(value)]
    for function in functions:
        if Path(function.__code__.co_filename).is_relative_to(HOME):
            names = {*inspect.signature(function).parameters, "return"} - {"self"}
            assert names <= typing.get_type_hints(function).keys(), function.__qualname__
