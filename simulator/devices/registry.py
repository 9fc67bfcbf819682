"""Which physics belongs to which configuration class: noise models, converters, drift compensations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from simulator.config.base import TypedConfig

PhysicsT = TypeVar("PhysicsT")
ImplementationT = TypeVar("ImplementationT")


class Registry(Generic[PhysicsT]):
    """Maps configuration classes to the classes that do their physics."""

    def __init__(self, family: str) -> None:
        self._family = family
        self._physics: dict[type[TypedConfig], Callable[[Any], PhysicsT]] = {}

    def register(
        self, config_class: type[TypedConfig]
    ) -> Callable[[type[ImplementationT]], type[ImplementationT]]:
        """Return a class decorator: the class, called with a configuration of this type, does its physics."""

        def decorate(physics: type[ImplementationT]) -> type[ImplementationT]:
            self._physics[config_class] = physics  # type: ignore[assignment] # checked when it is built
            return physics

        return decorate

    def build(self, config: TypedConfig) -> PhysicsT:
        """Return the physics of a configuration.

        Raises:
            TypeError: when no physics is registered for the configuration's class.
        """
        physics = self._physics.get(type(config))
        if physics is None:
            known = ", ".join(sorted(known.__name__ for known in self._physics))
            raise TypeError(
                f"no {self._family} is registered for {type(config).__name__} (known: {known}); "
                "decorate the class that does its physics with simulator.devices.register_..."
            )
        return physics(config)
