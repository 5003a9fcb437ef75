# The pieces that the library is put together from.

# caw_subdirectory(DIR): add_subdirectory for a folder that has a CMakeLists.txt.
function(caw_subdirectory dir)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${dir}/CMakeLists.txt)
    add_subdirectory(${dir})
  endif()
endfunction()

# caw_part(NAME SOURCES ... [NEEDS PKG ...]): one folder of src/ as an object
# library caw_NAME. NEEDS are pkg-config targets; they are visible to this
# folder's sources only, and reach the final library through the list CAW_NEEDS.
function(caw_part name)
  cmake_parse_arguments(P "" "" "SOURCES;NEEDS" ${ARGN})
  add_library(caw_${name} OBJECT ${P_SOURCES})
  target_include_directories(caw_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(caw_${name} PUBLIC Threads::Threads ${P_NEEDS})
  set_property(GLOBAL APPEND PROPERTY CAW_PARTS caw_${name})
  set_property(GLOBAL APPEND PROPERTY CAW_NEEDS ${P_NEEDS})
endfunction()
